// Colours of terminals. A style is one number: bits for bold to inverse, then five bits each for the
// colour of the text and of the background (0: none, else 1 + one of 16).

const BOLD = 1, DIM = 2, ITALIC = 4, UNDERLINE = 8, INVERSE = 16;
const TEXT = 5, BACK = 10; // where the colours begin
const palette = [0x000000, 0xcd0000, 0x00cd00, 0xcdcd00, 0x0000ee, 0xcd00cd, 0x00cdcd, 0xe5e5e5,
    0x7f7f7f, 0xff0000, 0x00ff00, 0xffff00, 0x5c5cff, 0xff00ff, 0x00ffff, 0xffffff];
// CSI; OSC, DCS and the like up to their end; two and three characters; control characters.
const escapes = /\x1b\[([0-?]*)([ -/]*)([@-~]?)|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?|[\x00-\x08\x0b-\x1f\x7f]/g;

function nearest(red, green, blue) {
    let best = 0, least = Infinity;
    palette.forEach((colour, i) => {
        const far = (red - (colour >> 16)) ** 2 + (green - (colour >> 8 & 255)) ** 2 + (blue - (colour & 255)) ** 2;
        if (far < least)
            [best, least] = [i, far];
    });
    return best;
}

function ofCube(n) {
    if (n < 16)
        return n;
    if (n > 231)
        return nearest(...Array(3).fill(8 + 10 * (n - 232)));
    const level = i => i && 55 + 40 * i;
    return nearest(level(Math.floor((n - 16) / 36)), level(Math.floor((n - 16) / 6) % 6), level((n - 16) % 6));
}

const coloured = (style, at, colour) => style & ~(31 << at) | colour + 1 << at;

// The style after "ESC [ list m".
function select(style, list) {
    const codes = list.split(/[;:]/, 64).map(Number);
    for (let i = 0; i < codes.length; i++) {
        const code = codes[i], at = code >= 100 ? BACK : code >= 90 ? TEXT : code >= 40 ? BACK : TEXT;
        if (!code)
            style = 0;
        else if (code <= 4 || code === 7)
            style |= [0, BOLD, DIM, ITALIC, UNDERLINE, 0, 0, INVERSE][code];
        else if (code === 22)
            style &= ~(BOLD | DIM);
        else if (code === 23 || code === 24 || code === 27)
            style &= ~(code === 23 ? ITALIC : code === 24 ? UNDERLINE : INVERSE);
        else if (code === 39 || code === 49)
            style &= ~(31 << at);
        else if ((code === 38 || code === 48) && codes[i + 1] === 5)
            style = coloured(style, at, ofCube(Math.min(codes[i += 2] || 0, 255)));
        else if ((code === 38 || code === 48) && codes[i + 1] === 2)
            style = coloured(style, at, nearest(codes[i + 2] || 0, codes[i + 3] || 0, codes[(i += 4)] || 0));
        else if (code >= 30 && code < 38 || code >= 40 && code < 48)
            style = coloured(style, at, code % 10);
        else if (code >= 90 && code < 98 || code >= 100 && code < 108)
            style = coloured(style, at, 8 + code % 10);
    }
    return style;
}

// The parts of a line, [{text, style}], and the style behind it. A carriage return within the line
// drops what stands before it, as progress bars mean it.
export function parts(line, style) {
    const found = [];
    let from = 0;
    const add = to => to > from && found.push({ text: line.slice(from, to), style });
    for (const match of line.matchAll(escapes)) {
        add(match.index);
        from = match.index + match[0].length;
        if (match[3] === "m" && !match[2])
            style = select(style, match[1]);
        else if (match[0] === "\r" && /[^\r]/.test(line.slice(from)))
            found.length = 0;
    }
    add(line.length);
    return { found, style };
}

// Without escapes; for search, where a carriage return hides nothing.
export function plain(text) {
    return text.replace(escapes, "");
}

// The style behind one escape, which begins the text.
export function after(text, style) {
    const match = /^\x1b\[([0-?]*)m/.exec(text);
    return match ? select(style, match[1]) : style;
}

export function classes(style) {
    const names = ["bold", "dim", "italic", "underline", "inverse"].filter((_, i) => style & 1 << i);
    const text = style >> TEXT & 31, back = style >> BACK & 31;
    if (text)
        names.push(`f${text - 1}`);
    if (back)
        names.push(`k${back - 1}`);
    return names.join(" ");
}
