// What pages do with JavaScript beyond what they are without: local times, buttons that copy, lists
// that stay up to date.

const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const ago = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

// "3 minutes ago" instead of the date, which stays as the title in both zones. Behind "until",
// <time data-clock>, the local time of the day, with the date if that is more than half a day away.
export function showTimes(root) {
    for (const time of root.querySelectorAll("time[datetime]")) {
        const then = new Date(time.dateTime);
        const seconds = (then - Date.now()) / 1000;
        const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) ?? units[3];
        time.title ||= `${then.toLocaleString()} (${time.textContent} UTC)`;
        const date = Math.abs(seconds) < 43200 ? {} : { dateStyle: "medium" };
        time.textContent = "clock" in time.dataset ? then.toLocaleString([], { ...date, timeStyle: "short" })
            : ago.format(Math.round(seconds / size), unit);
    }
}

// Browsers have navigator.clipboard on https and localhost only; elsewhere the selection is copied.
async function copy(source) {
    if (navigator.clipboard)
        return navigator.clipboard.writeText(source.textContent);
    const selection = getSelection();
    selection.selectAllChildren(source);
    document.execCommand("copy");
    selection.removeAllRanges();
}

// <button data-copy-target="#id"> copies the text of that element.
export function copyOnClick(root) {
    root.addEventListener("click", async event => {
        const button = event.target.closest("button[data-copy-target]");
        const source = button && document.querySelector(button.dataset.copyTarget);
        if (!source)
            return;
        await copy(source);
        const text = button.textContent;
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = text; }, 1500);
    });
}

// They do nothing without this file.
export function showButtons(root) {
    for (const button of root.querySelectorAll("button[data-copy-target]"))
        button.hidden = false;
}

// <a data-dialog> leads to a page that asks before something is done. Its content is shown in a dialog,
// where "Back" closes it; without this file, or if that fails, the page itself is visited.
async function ask(link) {
    const answer = await fetch(link.href, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(answerTime) });
    if (!answer.ok)
        throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const title = page.querySelector("h1");
    const dialog = document.createElement("dialog");
    title.replaceWith(Object.assign(document.createElement("h2"), { id: "ask", textContent: title.textContent }));
    dialog.setAttribute("aria-labelledby", "ask");
    dialog.append(...page.querySelector("main").childNodes);
    dialog.addEventListener("close", () => dialog.remove());
    dialog.addEventListener("click", event => {
        if (event.target.closest("a.back")) {
            event.preventDefault();
            dialog.close();
        }
    });
    document.body.append(dialog);
    dialog.showModal();
}

export function askFirst(root) {
    root.addEventListener("click", event => {
        const link = event.target.closest("a[data-dialog]");
        if (!link || event.ctrlKey || event.metaKey || event.shiftKey)
            return;
        event.preventDefault();
        ask(link).catch(() => { location.href = link.href; });
    });
}

// ---- lists that stay up to date ----

const period = 10000; // ms between two looks
const answerTime = 10000; // ms for an answer

// The choice, kept where the browser lets us.
function isWanted() {
    try {
        return localStorage.getItem("live") !== "no";
    } catch {
        return true;
    }
}

function keepChoice(wanted) {
    try {
        localStorage.setItem("live", wanted ? "yes" : "no");
    } catch {
        // only this page has it then
    }
}

// Where the focus is in a part of the page: which of the elements like it. Null: elsewhere.
function focusIn(part) {
    const at = document.activeElement;
    if (!at || at === part || !part.contains(at))
        return null;
    const like = element => element.tagName === at.tagName &&
        element.getAttribute("href") === at.getAttribute("href");
    const place = [...part.querySelectorAll(at.tagName)].filter(like).indexOf(at);
    return () => [...part.querySelectorAll(at.tagName)].filter(like).at(place)?.focus({ preventScroll: true });
}

// Puts new content into a part; focus and scrolling stay.
function swap(part, fresh) {
    const focus = focusIn(part);
    const scrolled = [...part.querySelectorAll("pre")].map(pre => pre.scrollTop);
    const [x, y] = [scrollX, scrollY];
    part.replaceChildren(...fresh.childNodes);
    showTimes(part);
    showButtons(part);
    part.querySelectorAll("pre").forEach((pre, i) => { pre.scrollTop = scrolled[i] ?? 0; });
    focus?.();
    scrollTo(x, y);
}

// Elements with data-live follow the page's own address, without a new load of the page: now and then, and
// at the event "look"; while the page is told of changes (data-told of the body), only then.
class Live {
    constructor(parts) {
        this.parts = parts;
        this.texts = parts.map(part => part.innerHTML); // as the server sent them
        this.tag = null;
        this.busy = false;
        this.due = false; // something has changed
        const label = document.createElement("label");
        this.box = document.createElement("input");
        this.box.type = "checkbox";
        this.box.checked = isWanted();
        this.note = document.createElement("span");
        label.className = "live";
        label.append(this.box, " live", this.note);
        document.querySelector("main h1").after(label);
        this.box.addEventListener("change", () => {
            keepChoice(this.box.checked);
            this.look();
        });
        document.addEventListener("visibilitychange", () => this.look());
        document.addEventListener("look", event => {
            this.due = true;
            if (event.detail?.mayWait)
                return;
            this.again = this.busy;
            this.look();
        });
        this.label = label;
        this.timer = setInterval(() => this.look(), period);
    }

    isQuiet() {
        return !this.box.checked || !this.timer || document.hidden || this.busy || !getSelection().isCollapsed;
    }

    async look() {
        showTimes(document);
        if (this.isQuiet() || !this.due && "told" in document.body.dataset)
            return;
        this.busy = true;
        this.due = false;
        try {
            const headers = { Accept: "text/html", ...this.tag && { "If-None-Match": this.tag } };
            const answer = await fetch(location.href, { headers, signal: AbortSignal.timeout(answerTime) });
            if (answer.ok)
                this.take(answer.headers.get("ETag"), await answer.text());
            else
                this.due = answer.status !== 304;
            this.note.textContent = answer.ok || answer.status === 304 ? "" : `: the server answered ${answer.status}`;
        } catch {
            this.due = true;
            this.note.textContent = ": the server does not answer";
        }
        this.busy = false;
        if (this.again)
            this.look();
        this.again = false;
    }

    // Not while text is selected, which may have begun meanwhile: the next look asks again.
    take(tag, text) {
        const page = new DOMParser().parseFromString(text, "text/html");
        const parts = [...page.querySelectorAll("[data-live]")];
        this.due = !getSelection().isCollapsed;
        if (this.due || !this.box.checked || parts.length !== this.parts.length)
            return;
        parts.forEach((fresh, i) => {
            const html = fresh.innerHTML;
            if (html !== this.texts[i])
                swap(this.parts[i], fresh);
            this.texts[i] = html;
        });
        this.tag = tag;
        document.dispatchEvent(new CustomEvent("looked", { detail: page }));
        if (!parts.some(mayChange))
            this.end();
    }

    end() {
        this.label.remove();
        this.timer = clearInterval(this.timer);
    }
}

const mayChange = part => part.dataset.live !== "over";
const live = [...document.querySelectorAll("[data-live]")];
if (live.some(mayChange))
    new Live(live);
showTimes(document);
copyOnClick(document);
askFirst(document);
showButtons(document);
