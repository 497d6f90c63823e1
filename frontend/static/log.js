// The log viewer: replaces the end of a log that a job's page has by the whole log, of which only
// the rows in view are in the document.

const { classes, parts, plain } = await import(document.getElementById("ansi").href);
const { Lines } = await import(document.getElementById("lines").href);

const rowHeight = 20; // pixels, as in app.css
const around = 20; // rows above and below those in view
const heightMax = 15e6; // browsers limit the height of an element; beyond it scrolling is scaled
const slice = 1 << 20; // bytes that are searched in one go
const readMax = 1 << 17; // the same for reading
const busyMax = 30; // ms of reading between two turns of the page
const whole = 200 << 20; // bytes: of a longer log a quarter of this is loaded, its end
const waits = [1000, 1000, 2000, 3000, 5000]; // ms between looks at a log that may grow
const failing = /\b(error|fail(ed|ure)?|traceback|fatal)\b/i;
const keys = "/ search · n N next, previous · g G start, end · f follow · e next error · w wrap · ? keys";
const decoder = new TextDecoder(), encoder = new TextEncoder();

function make(tag, values, ...children) {
    const element = Object.assign(document.createElement(tag), values);
    element.append(...children);
    return element;
}

const pause = () => new Promise(done => setTimeout(done));

// ---- the viewer ----

class Viewer {
    lines = new Lines();
    only = null; // lines that are shown; null: all
    hits = [];
    query = "";
    searched = 0; // lines
    current = -1; // line that was gone to
    marked = null; // [first, last] line of the address
    following = false;
    last = null; // number of the last fragment
    cut = null; // the same, while only a part of it is there
    told = null; // bytes that were told of the fragments of that number
    held = null; // pieces that wait for the end of the loading
    times = null; // [byte, time] of each fragment
    isCut = false; // it is longer than `whole`
    kept = new Map(); // of each line that has a row: {row, before, style}

    constructor(details) {
        this.details = details;
        this.url = details.dataset.log;
        this.pre = details.querySelector("pre");
        this.tail = Number(details.dataset.whole ?? whole);
        this.build();
        this.load();
    }

    build() {
        const button = (text, title, act) => make("button", { type: "button", textContent: text, title, onclick: act });
        this.field = make("input", { type: "search", placeholder: "Search this log", ariaLabel: "Search this log" });
        this.filter = make("input", { type: "checkbox" });
        this.note = make("span", { className: "faint" });
        this.note.setAttribute("role", "status");
        this.follow = button("Follow", "Stay at the end (f)", () => this.setFollow(!this.following));
        this.wrap = button("Wrap", "Wrap long lines (w)", () => this.toggle(this.wrap, "wrapped"));
        this.clock = button("Times", "When each fragment came", () => this.showTimes());
        this.wide = button("Full width", "As wide as the window", () => this.toggle(this.wide, "wide"));
        [this.follow, this.wrap, this.clock, this.wide].forEach(toggle => { toggle.ariaPressed = "false"; });
        this.bar = make("div", { className: "logbar" }, this.field,
            button("Previous", "Previous line that matches (N)", () => this.step(-1)),
            button("Next", "Next line that matches (n)", () => this.step(1)),
            make("label", {}, this.filter, " only matching"), this.follow, this.wrap, this.clock, this.wide, this.note);
        this.rows = make("div", { className: "rows" });
        this.space = make("div", { className: "space" }, this.rows);
        this.view = make("div", { className: "view", tabIndex: 0, ariaLabel: this.pre.ariaLabel }, this.space);
        this.view.setAttribute("role", "log");
        this.view.ariaLive = "off";
        this.box = make("div", { className: "viewer" }, this.bar, this.view);
        this.field.addEventListener("input", () => this.search());
        this.field.addEventListener("keydown", event => event.key === "Enter" && this.step(event.shiftKey ? -1 : 1));
        this.filter.addEventListener("change", () => this.refilter());
        this.view.addEventListener("scroll", () => this.scrolled());
        this.view.addEventListener("click", event => this.pick(event));
        this.view.addEventListener("copy", event => this.copy(event));
        this.box.addEventListener("keydown", event => this.key(event));
        new ResizeObserver(() => this.draw()).observe(this.view);
    }

    toggle(button, name) {
        button.ariaPressed = String(this.box.classList.toggle(name));
        this.draw();
    }

    // ---- loading ----

    address(parameters) {
        return `${this.url}&${new URLSearchParams(parameters)}`;
    }

    async load() {
        this.held = []; // what comes meanwhile
        this.abort?.abort();
        this.abort = new AbortController();
        this.lines = new Lines();
        this.kept.clear();
        this.times = null;
        this.last = null;
        this.cut = null;
        this.told = null;
        this.hits = [];
        this.searched = 0;
        this.only = null;
        try {
            let answer = await this.fetch({ tail: this.tail });
            if (answer.headers.get("Log-Cut") && !this.isCut) {
                this.abort.abort();
                this.abort = new AbortController();
                this.isCut = true;
                this.tail /= 4;
                answer = await this.fetch({ tail: this.tail });
            }
            await this.take(answer);
            this.loaded(answer.headers.get("Log-Cut"));
            this.held.splice(0).forEach(piece => this.add(piece));
            this.held = null;
        } catch (fault) {
            if (fault.name === "AbortError")
                return;
            this.last = Infinity; // nothing is added to it
            this.note.textContent = `The log could not be loaded: ${fault.message}.`;
        }
    }

    async fetch(parameters) {
        const headers = { Accept: "text/plain" };
        const answer = await fetch(this.address(parameters), { headers, signal: this.abort.signal });
        if (!answer.ok)
            throw new Error(`the server answered ${answer.status}`);
        return answer;
    }

    async take(answer) {
        const reader = answer.body.getReader(), lines = this.lines;
        let began = performance.now();
        // What has come already is read without a turn of the page in between: it makes pauses.
        for (let part = await reader.read(); !part.done; part = await reader.read())
            for (let at = 0; at < part.value.length && lines === this.lines; at += readMax) {
                lines.append(part.value.subarray(at, at + readMax));
                this.show();
                this.drawSoon();
                if (performance.now() - began > busyMax) {
                    await pause();
                    began = performance.now();
                }
            }
        this.last = answer.headers.get("Log-Last") ?? this.last;
    }

    // The first rows are there: they take the place of what the page had.
    show() {
        if (this.pre.isConnected)
            this.pre.replaceWith(this.box);
    }

    loaded(cut) {
        this.show();
        this.tellLength(cut);
        if (!this.goToMark() && this.details.dataset.end !== undefined && !this.view.scrollTop)
            this.toEnd();
        this.draw();
        if (this.details.dataset.grows !== undefined) {
            this.setFollow(!this.marked);
            this.looks ??= this.look(0) ?? true; // once, however often it is loaded
        }
        this.details.dataset.loaded = "";
    }

    tellLength(cut) {
        this.note.textContent = `${this.lines.shown.toLocaleString("en")} lines`;
        if (!cut)
            return;
        const more = make("button", { type: "button", textContent: "Load earlier", onclick: () => {
            more.remove();
            this.loadEarlier();
        } });
        this.note.textContent = `The last ${Math.round(this.lines.length / (1 << 20))} MiB. `;
        this.note.after(more);
    }

    // The first line that is there stays in view.
    async loadEarlier() {
        const length = this.lines.length;
        this.tail *= 4;
        await this.load();
        this.goTo(this.lines.lineOf(Math.max(this.lines.length - length, 0)));
        this.view.focus();
        await this.searchOn();
        this.refilter();
    }

    // A piece of a fragment, as the stream of the job has it. What the log has already is left out.
    feed(piece) {
        if (this.held)
            this.held.push(piece);
        else
            this.add(piece);
    }

    add({ n, from, text, isCut }) {
        const last = Number(this.last ?? -1), bytes = encoder.encode(text);
        if (n < last || (n === last && from !== this.told))
            return;
        this.last = n;
        this.told = from + bytes.length;
        this.cut = isCut ? n : null;
        this.lines.append(bytes);
        if (this.query)
            this.searchOn();
        this.drawSoon();
    }

    // Asks for what is new, less often while there is nothing. A page that is told of it need not ask,
    // but for logs of older agents, of which it is not.
    look(idle) {
        setTimeout(async () => {
            if (!this.box.isConnected || this.details.dataset.grows === undefined)
                return;
            const isTold = "told" in document.body.dataset && this.last !== null;
            const grew = !document.hidden && this.details.open && !isTold && !this.held && await this.more();
            this.look(grew ? 0 : Math.min(idle + 1, waits.length - 1));
        }, waits[idle]);
    }

    async more() {
        const before = this.lines.length;
        try {
            if (this.last === null)
                return await this.again();
            if (this.cut !== null) {
                this.cut = null; // the rest of this fragment was not told
                await this.load();
                return true;
            }
            await this.take(await this.fetch({ start: Number(this.last) + 1 }));
        } catch {
            return false; // the next look asks again
        }
        const grew = this.lines.length > before;
        if (grew && this.query)
            this.searchOn();
        return grew;
    }

    // Logs of older agents have no numbers to go on from.
    async again() {
        const answer = await this.fetch({ start: 0 }), bytes = new Uint8Array(await answer.arrayBuffer());
        if (bytes.length === this.lines.length)
            return false;
        this.last = answer.headers.get("Log-Last");
        this.lines = new Lines();
        this.lines.append(bytes);
        this.redraw();
        return true;
    }

    // ---- rows ----

    get total() {
        return this.only ? this.only.length : this.lines.shown;
    }

    lineAt(row) { return this.only ? this.only[row] : row; }
    rowOf(line) { return this.only ? this.only.filter(other => other < line).length : line; }

    drawSoon() {
        this.frame ??= requestAnimationFrame(() => { this.frame = null; this.draw(); });
    }

    // Makes room for all rows; returns how many pixels of rows one of scrolling is.
    layout() {
        const wrapped = this.box.classList.contains("wrapped");
        const pixels = this.total * rowHeight + (wrapped ? this.view.clientHeight : 0), scale = Math.max(1, pixels / heightMax);
        this.space.style.height = `${pixels / scale}px`;
        return scale;
    }

    // Rows have one height. Wrapped ones have not: one line is scrolled at a time then, too.
    draw() {
        const height = this.view.clientHeight, total = this.total, wrapped = this.box.classList.contains("wrapped");
        const scale = this.layout();
        if (this.following)
            this.view.scrollTop = this.view.scrollHeight;
        const top = this.view.scrollTop, bottom = this.view.scrollHeight - height;
        const atEnd = bottom > 0 && top >= bottom - 1;
        const exact = atEnd ? total - height / rowHeight : top * scale / rowHeight;
        const room = Math.ceil(height / rowHeight);
        const first = Math.max(0, Math.floor(exact) - (wrapped && !atEnd ? 0 : around));
        const until = Math.min(total, Math.floor(exact) + room + around + 1);
        this.place(first, until);
        this.rows.style.top = wrapped
            ? `${atEnd ? top + height - this.rows.offsetHeight : top}px`
            : `${top - (exact - first) * rowHeight}px`;
        this.tellNew(atEnd);
    }

    // Rows that stay are not touched: text in them may be selected.
    place(first, until) {
        const kept = new Map();
        let next = -1, style = 0;
        for (let row = first; row < until; row++) {
            const line = this.lineAt(row), old = this.kept.get(line);
            if (line !== next)
                style = this.lines.styleAt(line);
            const made = old?.before === style && line < this.lines.count - 1 ? old : this.row(line, style);
            kept.set(line, made);
            style = made.style;
            next = line + 1;
        }
        const rows = [...kept.values()].map(made => made.row), stay = new Set(rows);
        [...this.rows.children].filter(row => !stay.has(row)).forEach(row => row.remove());
        let at = this.rows.firstChild;
        for (const row of rows)
            if (row === at)
                at = at.nextSibling;
            else
                this.rows.insertBefore(row, at);
        this.kept = kept;
    }

    redraw() {
        this.kept.clear(); // of all rows
        this.draw();
    }

    row(line, before) {
        const { found, style } = parts(this.lines.text(line), before);
        const row = make("div", { className: "row" });
        row.dataset.n = line + 1;
        if (this.times)
            row.dataset.t = this.times.get(line) ?? "";
        row.classList.toggle("marked", Boolean(this.marked) && line >= this.marked[0] && line <= this.marked[1]);
        row.classList.toggle("current", line === this.current);
        for (const part of found) {
            const pieces = this.highlight(part.text);
            const names = classes(part.style);
            row.append(...names ? [make("span", { className: names }, ...pieces)] : pieces);
        }
        return { row, before, style };
    }

    highlight(text) {
        const pieces = [], lower = text.toLowerCase();
        if (!this.query || lower.length !== text.length)
            return [text];
        let from = 0;
        for (let at = lower.indexOf(this.query); at >= 0; at = lower.indexOf(this.query, from)) {
            pieces.push(text.slice(from, at), make("mark", {}, text.slice(at, at + this.query.length)));
            from = at + this.query.length;
        }
        pieces.push(text.slice(from));
        return pieces.filter(piece => piece !== "");
    }

    goTo(line) {
        this.setFollow(false);
        this.current = line;
        const above = this.box.classList.contains("wrapped") ? 0 : this.view.clientHeight / 3;
        this.view.scrollTop = (this.rowOf(line) * rowHeight - above) / this.layout();
        this.redraw();
    }

    toEnd() {
        this.layout();
        this.view.scrollTop = this.view.scrollHeight;
        this.draw();
    }

    // ---- follow ----

    setFollow(on) {
        this.following = on;
        this.follow.ariaPressed = String(on);
        this.seen = this.lines.shown;
        if (on)
            this.draw();
    }

    scrolled() {
        const left = this.view.scrollHeight - this.view.clientHeight - this.view.scrollTop;
        if (this.following && left > rowHeight)
            this.setFollow(false);
        else if (!this.following && left <= 1 && this.details.dataset.grows !== undefined)
            this.setFollow(true);
        this.drawSoon();
    }

    tellNew(atEnd) {
        const fresh = this.lines.shown - (this.seen ?? Infinity);
        this.seen = atEnd ? this.lines.shown : this.seen;
        this.follow.textContent = !this.following && !atEnd && fresh > 0 ? `${fresh} new lines` : "Follow";
    }

    // ---- search ----

    async search() {
        this.query = this.field.value.toLowerCase();
        this.hits = [];
        this.searched = 0;
        this.current = -1;
        this.only = null;
        if (!this.query)
            this.tellLength();
        this.redraw();
        await this.searchOn();
        this.filter.checked ? this.refilter() : this.step(1);
    }

    // Searches the lines that were not searched yet, in slices.
    async searchOn() {
        const query = this.query, lines = this.lines;
        while (query && query === this.query && lines === this.lines && this.searched < lines.shown) {
            const from = this.searched;
            const to = Math.max(from + 1, Math.min(lines.shown, lines.lineOf(lines.starts[from] + slice)));
            this.searched = to;
            this.searchSlice(from, lines.bytes.subarray(lines.starts[from], lines.end(to - 1)));
            await pause();
        }
        if (query && query === this.query) {
            this.tellHits();
            if (this.only)
                this.only = this.hits;
            this.draw();
        }
    }

    searchSlice(from, bytes) {
        const text = plain(decoder.decode(bytes)).toLowerCase();
        let line = from, counted = 0;
        for (let at = text.indexOf(this.query); at >= 0;) {
            for (let ends = text.indexOf("\n", counted); ends >= 0 && ends < at; ends = text.indexOf("\n", counted)) {
                line++;
                counted = ends + 1;
            }
            this.hits.push(line);
            const next = text.indexOf("\n", at);
            at = next < 0 ? -1 : text.indexOf(this.query, next);
        }
    }

    tellHits() {
        const at = this.hits.indexOf(this.current);
        const count = this.hits.length.toLocaleString("en");
        this.note.textContent = at < 0 ? `${count} lines match` : `${(at + 1).toLocaleString("en")} of ${count} lines`;
    }

    refilter() {
        this.only = this.filter.checked && this.query ? this.hits : null;
        if (this.current >= 0)
            this.goTo(this.current);
        this.draw();
    }

    step(direction) {
        if (!this.hits.length)
            return;
        const at = direction > 0 ? this.hits.find(line => line > this.current)
            : this.hits.findLast(line => line < this.current);
        this.goTo(at ?? this.hits.at(direction > 0 ? 0 : -1));
        this.tellHits();
    }

    async nextError() {
        const lines = this.lines;
        for (let line = this.current + 1, seen = 0; line < lines.shown; line++) {
            if (failing.test(plain(lines.text(line)))) {
                this.goTo(line);
                this.note.textContent = `Line ${(line + 1).toLocaleString("en")}`;
                return;
            }
            seen += lines.end(line) - lines.starts[line];
            if (seen > slice) {
                seen = 0;
                await pause();
            }
        }
        this.note.textContent = "No further line looks like an error.";
    }

    // ---- times ----

    async showTimes() {
        if (this.times) {
            this.times = null;
        } else {
            const headers = { Accept: "application/x-ndjson" };
            const answer = await fetch(this.address({ texts: "no", ...this.last !== null && { until: this.last } }), { headers });
            const found = answer.ok ? (await answer.text()).split("\n").filter(Boolean).map(text => JSON.parse(text)) : [];
            let byte = this.lines.length - found.reduce((sum, piece) => sum + piece.bytes, 0);
            this.times = new Map();
            for (const piece of found) {
                const line = this.lines.lineOf(Math.max(byte, 0));
                if (byte >= 0 && piece.at && !this.times.has(line))
                    this.times.set(line, piece.at.slice(11, 19)); // UTC
                byte += piece.bytes;
            }
        }
        this.clock.ariaPressed = String(Boolean(this.times));
        this.box.classList.toggle("timed", Boolean(this.times));
        this.redraw();
    }

    // ---- address, keys, copies ----

    // "#L120-L140" of the log that is open, "#ANCHOR-L120" of any.
    goToMark() {
        const match = /^#(?:(log-[\w-]+?)-)?L(\d+)(?:-L?(\d+))?$/.exec(location.hash);
        if (!match || !(match[1] ? match[1] === this.details.id : this.details === open))
            return false;
        const first = Number(match[2]) - 1, last = Number(match[3] ?? match[2]) - 1;
        if (first < 0 || first >= this.lines.shown)
            return false;
        this.marked = [Math.min(first, last), Math.max(first, last)];
        this.goTo(this.marked[0]);
        return true;
    }

    // A click on the number of a line puts it into the address, with Shift up to there.
    pick(event) {
        const row = event.target.closest(".row");
        if (!row || event.clientX - row.getBoundingClientRect().left > parseFloat(getComputedStyle(row).paddingLeft))
            return;
        const line = Number(row.dataset.n) - 1;
        const first = event.shiftKey && this.marked ? this.marked[0] : line;
        this.marked = [Math.min(first, line), Math.max(first, line)];
        const lines = this.marked[0] === this.marked[1] ? [this.marked[0]] : this.marked;
        history.replaceState(null, "", `#${this.details.id}-${lines.map(n => `L${n + 1}`).join("-")}`);
        this.redraw();
    }

    key(event) {
        const acts = { "/": () => this.field.focus(), n: () => this.step(1), N: () => this.step(-1),
            g: () => this.goTo(this.lineAt(0)), G: () => this.toEnd(), f: () => this.setFollow(!this.following),
            w: () => this.wrap.click(), e: () => this.nextError(), "?": () => this.note.textContent = keys };
        if (event.target.tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey || !acts[event.key])
            return;
        event.preventDefault();
        acts[event.key]();
    }

    // The lines as text, also of rows that hold nothing.
    copy(event) {
        const range = getSelection().getRangeAt(0);
        const rows = [...this.rows.children].filter(row => range.intersectsNode(row));
        if (rows.length < 2)
            return;
        const texts = rows.map(row => {
            const inner = document.createRange();
            inner.selectNodeContents(row);
            if (inner.comparePoint(range.startContainer, range.startOffset) === 0)
                inner.setStart(range.startContainer, range.startOffset);
            if (inner.comparePoint(range.endContainer, range.endOffset) === 0)
                inner.setEnd(range.endContainer, range.endOffset);
            return inner.toString();
        });
        event.clipboardData.setData("text/plain", texts.join("\n"));
        event.preventDefault();
    }
}

const all = [...document.querySelectorAll("details[data-log]")];
const named = all.find(details => location.hash.startsWith(`#${details.id}`));
if (named)
    named.open = true;
const open = all.find(details => details.open);
export function view(details) {
    const make = () => details.open && !details.viewer && (details.viewer = new Viewer(details));
    make();
    details.addEventListener("toggle", make);
}
all.forEach(view);
