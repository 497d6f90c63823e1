// The text of a log, of any size, by lines.

const { after } = await import(document.getElementById("ansi").href);

const lineMax = 8192; // bytes of a line that are shown
const mark = 1000; // lines between two styles that are kept
const decoder = new TextDecoder();
const escapeMax = 64; // bytes of an escape that counts

// The style behind the escape at a byte. A log has few different ones, many times.
const known = new Map();
function behind(bytes, at, style) {
    const text = bytes.subarray(at, at + escapeMax);
    const key = style + String.fromCharCode(...text.subarray(0, text.indexOf(109) + 1)); // "m"
    if (known.size > 10000)
        known.clear();
    if (!known.has(key))
        known.set(key, after(key.slice(key.indexOf("\x1b")), style));
    return known.get(key);
}

// Lines are numbered from 0. All lines but the last are complete.
export class Lines {
    bytes = new Uint8Array(1 << 20);
    length = 0;
    starts = new Uint32Array(1 << 14);
    count = 1;
    styles = [0]; // at the begin of each thousandth line
    styled = 0; // bytes whose escapes were seen
    style = 0;

    append(chunk) {
        if (this.length + chunk.length > this.bytes.length)
            this.bytes = grown(this.bytes, this.length + chunk.length);
        this.bytes.set(chunk, this.length);
        for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) {
            if (this.count === this.starts.length)
                this.starts = grown(this.starts, this.count + 1);
            this.starts[this.count++] = this.length + at + 1;
        }
        this.length += chunk.length;
        this.follow();
    }

    // Keeps the style of each thousandth line, up to the last complete one.
    follow() {
        const to = this.starts[this.count - 1];
        const keep = upTo => {
            while (this.styles.length * mark < this.count && this.starts[this.styles.length * mark] <= upTo)
                this.styles.push(this.style);
        };
        const bytes = this.bytes.subarray(0, to);
        for (let at = bytes.indexOf(27, this.styled); at >= 0; at = bytes.indexOf(27, at + 1)) {
            keep(at);
            this.style = behind(bytes, at, this.style);
        }
        keep(to);
        this.styled = to;
    }

    end(line) {
        return line + 1 < this.count ? this.starts[line + 1] - 1 : this.length;
    }

    // A last line without text is none.
    get shown() {
        return this.count - (this.starts[this.count - 1] === this.length);
    }

    text(line) {
        const from = this.starts[line], to = this.end(line);
        const cut = to - from > lineMax ? "…" : "";
        return decoder.decode(this.bytes.subarray(from, Math.min(to, from + lineMax))) + cut;
    }

    // The style in which a line begins.
    styleAt(line) {
        const kept = Math.min(Math.floor(line / mark), this.styles.length - 1);
        const bytes = this.bytes.subarray(0, this.starts[line]);
        let style = this.styles[kept];
        for (let at = bytes.indexOf(27, this.starts[kept * mark]); at >= 0; at = bytes.indexOf(27, at + 1))
            style = behind(bytes, at, style);
        return style;
    }

    // The last line that begins at a byte or before it.
    lineOf(byte) {
        let low = 0, high = this.count - 1;
        for (let middle; low < high;) {
            middle = (low + high + 1) >> 1;
            [low, high] = this.starts[middle] <= byte ? [middle, high] : [low, middle - 1];
        }
        return low;
    }
}

function grown(array, least) {
    const next = new array.constructor(Math.max(2 * array.length, least));
    next.set(array);
    return next;
}
