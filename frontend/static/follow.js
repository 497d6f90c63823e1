// The page of a job that is not over: is told by the server what is new (server-sent events), shows the
// logs' new text at once, and has the other parts of the page follow by the event "look" (app.js).

const { view } = await import(document.getElementById("log").src);

const patience = 30000; // ms after which a stream is tried again that the server refused
const faultsMax = 3; // in a row, before that

class Follow {
    faults = 0;
    source = null;
    isOver = false;

    constructor(box) {
        const url = new URL(box.dataset.follow, location.href);
        this.box = box;
        this.path = url.pathname;
        this.place = url.searchParams.get("from");
        this.state = null;
        document.addEventListener("visibilitychange", () => this.open());
        document.addEventListener("looked", event => this.take(event.detail));
        this.open();
    }

    // A browser has few connections to a server: tabs that nobody sees do not keep one.
    open() {
        this.close();
        if (document.hidden || this.isOver)
            return;
        this.source = new EventSource(`${this.path}?${new URLSearchParams({ from: this.place })}`);
        this.source.onopen = () => { document.body.dataset.told = ""; };
        this.source.onerror = () => this.fault();
        this.source.addEventListener("state", event => this.note(event));
        this.source.addEventListener("log", event => this.log(event));
        this.source.addEventListener("end", () => this.end());
    }

    close() {
        clearTimeout(this.timer);
        this.source?.close();
        this.source = null;
        delete document.body.dataset.told;
    }

    // The browser comes back by itself, unless the server has refused the stream. Meanwhile the page asks.
    fault() {
        delete document.body.dataset.told;
        this.faults++;
        if (this.source.readyState !== EventSource.CLOSED && this.faults < faultsMax)
            return;
        this.close();
        this.faults = 0;
        this.timer = setTimeout(() => this.open(), patience);
    }

    came(event) {
        this.faults = 0;
        this.place = event.lastEventId;
    }

    // The first one tells what the page was made of, most of the time. The place in a queue changes often:
    // it may wait for the next look.
    note(event) {
        const history = id => id.split(".").at(-1);
        const isKnown = this.state === null && history(this.place) === history(event.lastEventId);
        const { position, ...others } = JSON.parse(event.data), state = JSON.stringify(others);
        this.came(event);
        if (!isKnown && (state !== this.state || position !== this.position))
            document.dispatchEvent(new CustomEvent("look", { detail: { mayWait: state === this.state } }));
        [this.state, this.position] = [state, position];
    }

    log(event) {
        const { type, phase, n, from, text } = JSON.parse(event.data);
        this.came(event);
        const details = document.getElementById(`log-${type}-${phase}`);
        const [output, serial] = event.lastEventId.split(".");
        const isCut = (type === "output" ? output : serial).includes("+");
        if (details)
            details.viewer?.feed({ n, from, text, isCut });
        else
            document.dispatchEvent(new Event("look"));
    }

    end() {
        this.isOver = true;
        this.close();
        document.dispatchEvent(new Event("look"));
    }

    // Logs that the page has not, and what the others have by now.
    take(page) {
        const before = [];
        for (const fresh of page.querySelectorAll("#logs > *")) {
            const own = fresh.id && document.getElementById(fresh.id);
            if (own && fresh.dataset.log)
                this.update(own, fresh);
            else if (!own && fresh.id)
                this.add(fresh, before.at(-1));
            if (fresh.id)
                before.push(fresh.id);
        }
    }

    add(fresh, before) {
        const own = document.importNode(fresh, true);
        if (before)
            document.getElementById(before).after(own);
        else
            this.box.querySelector("h2").after(own);
        this.box.querySelector(":scope > .empty")?.remove();
        if (own.dataset.log)
            view(own);
    }

    update(own, fresh) {
        const code = fresh.querySelector(".code");
        if (code && !own.querySelector(".code"))
            own.append(code);
        if (fresh.dataset.grows === undefined)
            delete own.dataset.grows;
    }
}

new Follow(document.querySelector("[data-follow]"));
