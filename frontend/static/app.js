// What pages do with JavaScript beyond what they are without: local times and buttons that copy.

const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const ago = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

// "3 minutes ago" instead of the date, which stays as the title in both zones.
export function showTimes(root) {
    for (const time of root.querySelectorAll("time[datetime]")) {
        const then = new Date(time.dateTime);
        const seconds = (then - Date.now()) / 1000;
        const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) ?? units[3];
        time.title ||= `${then.toLocaleString()} (${time.textContent} UTC)`;
        time.textContent = ago.format(Math.round(seconds / size), unit);
    }
}

// <button data-copy-target="#id"> copies the text of that element.
export function copyOnClick(root) {
    root.addEventListener("click", async event => {
        const button = event.target.closest("button[data-copy-target]");
        const source = button && document.querySelector(button.dataset.copyTarget);
        if (!source)
            return;
        await navigator.clipboard.writeText(source.textContent);
        const text = button.textContent;
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = text; }, 1500);
    });
    // They do nothing without this file, and nothing where the browser has no clipboard.
    for (const button of root.querySelectorAll("button[data-copy-target]"))
        button.hidden = !navigator.clipboard;
}

showTimes(document);
copyOnClick(document);
