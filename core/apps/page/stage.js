// A photo before and after under one line, its faces, and the other photos below it.
const part = (name) => element.querySelector(`.${name}`);
const [frame, canvas, line, faces, film] = ["frame", "canvas", "line", "faces", "film"].map(part);
const [before, after] = [part("before"), part("after")];
const NEAR = 24; // px about the line at which it is taken hold of
const FARTHEST = 12; // times as large as it fits
const seen = {zoom: 1, x: 0, y: 0, cut: 50};
const pointers = new Map();
let held = null;

function place() {
    const [width, height] = [before.naturalWidth, before.naturalHeight];
    const room = frame.getBoundingClientRect();
    if (!width || !room.width) return;
    const fit = Math.min(room.width / width, room.height / height);
    canvas.style.width = `${width * fit}px`;
    canvas.style.height = `${height * fit}px`;
    canvas.style.transform = `translate(${seen.x}px, ${seen.y}px) scale(${seen.zoom})`;
    canvas.style.setProperty("--cut", `${seen.cut}%`);
    canvas.style.setProperty("--zoom", seen.zoom);
    frame.classList.toggle("near", seen.zoom > 1);
    line.value = seen.cut;
}

function look(zoom, x, y) {
    // The point under the pointer stays where it is.
    const room = frame.getBoundingClientRect();
    const [px, py] = [x - room.left - room.width / 2, y - room.top - room.height / 2];
    const next = Math.min(FARTHEST, Math.max(1, zoom));
    const share = next / seen.zoom;
    seen.x = next === 1 ? 0 : px - share * (px - seen.x);
    seen.y = next === 1 ? 0 : py - share * (py - seen.y);
    seen.zoom = next;
    place();
}

function fromMiddle(factor) {
    const room = frame.getBoundingClientRect();
    look(seen.zoom * factor, room.left + room.width / 2, room.top + room.height / 2);
}

function cutAt(x) {
    const box = canvas.getBoundingClientRect();
    seen.cut = Math.min(100, Math.max(0, (100 * (x - box.left)) / box.width));
    place();
}

const distance = () => {
    const [a, b] = [...pointers.values()];
    return Math.hypot(a.x - b.x, a.y - b.y);
};

frame.addEventListener("pointerdown", (event) => {
    if (canvas.hidden || event.button) return;
    pointers.set(event.pointerId, {x: event.clientX, y: event.clientY});
    const box = canvas.getBoundingClientRect();
    const onLine = Math.abs(event.clientX - box.left - (box.width * seen.cut) / 100) < NEAR;
    held = {x: event.clientX, y: event.clientY, start: {...seen}, moved: false, line: seen.zoom === 1 || onLine};
    if (pointers.size === 2) held = {...held, apart: distance(), moved: true};
});
window.addEventListener("pointermove", (event) => {
    if (!held || !pointers.has(event.pointerId)) return;
    pointers.set(event.pointerId, {x: event.clientX, y: event.clientY});
    const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
    if (pointers.size === 2) {
        const [a, b] = [...pointers.values()];
        look((held.start.zoom * distance()) / held.apart, (a.x + b.x) / 2, (a.y + b.y) / 2);
    } else if (held.moved || Math.hypot(dx, dy) > 5) {
        held.moved = true;
        if (held.line) cutAt(event.clientX);
        else {
            [seen.x, seen.y] = [held.start.x + dx, held.start.y + dy];
            place();
        }
    }
});
for (const kind of ["pointerup", "pointercancel"])
    window.addEventListener(kind, (event) => {
        if (!pointers.delete(event.pointerId) || pointers.size) return;
        const moved = held?.moved;
        held = null;
        if (moved) window.addEventListener("click", (click) => click.stopPropagation(), {capture: true, once: true});
    });
frame.addEventListener("wheel", (event) => {
    if (canvas.hidden) return;
    event.preventDefault();
    look(seen.zoom * Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
}, {passive: false});
line.addEventListener("input", () => {
    seen.cut = Number(line.value);
    place();
});
part("in").addEventListener("click", () => fromMiddle(1.5));
part("out").addEventListener("click", () => fromMiddle(1 / 1.5));
part("fit").addEventListener("click", () => look(1, 0, 0));

// While the button is held the original is seen.
const hold = part("hold");
const original = (on) => {
    frame.classList.toggle("original", on);
    hold.setAttribute("aria-pressed", on);
};
hold.addEventListener("pointerdown", () => original(true));
hold.addEventListener("keydown", (event) => [" ", "Enter"].includes(event.key) && original(true));
for (const kind of ["pointerup", "pointercancel", "pointerleave", "keyup", "blur"])
    hold.addEventListener(kind, () => original(false));

faces.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) trigger("face", {face: Number(button.dataset.face)});
});
film.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) trigger(button.dataset.act, {number: Number(button.dataset.number)});
});

function show() {
    const value = props.value;
    if (!value) return;
    const [left, right] = value.pair ?? [];
    canvas.hidden = !left;
    part("busy").hidden = !!left && !value.waiting;
    part("busy").textContent = value.waiting ?? "";
    if (left && before.getAttribute("src") !== left) before.src = left;
    if (right && after.getAttribute("src") !== right) after.src = right;
    frame.classList.toggle("alone", !right);
    [part("left").textContent, part("right").textContent] = value.labels ?? ["", ""];
    const held = element.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    faces.replaceChildren(
        ...(value.faces ?? []).map(({n, box, on, name}) => {
            const spec = {type: "button", className: on ? "on" : "", title: name, key: `face ${n}`};
            const button = made("button", spec, String(n + 1));
            button.dataset.face = n;
            button.setAttribute("aria-label", name);
            for (const [k, side] of ["left", "top", "width", "height"].entries()) button.style[side] = `${100 * box[k]}%`;
            return button;
        }),
    );
    film.querySelectorAll("li.photo").forEach((item) => item.remove());
    film.prepend(
        ...(value.photos ?? []).map(({name, thumb, state, said}, number) => {
            const image = made("img", {src: thumb, alt: name});
            const picture = made("button", {type: "button", title: name, key: `photo ${number}`}, image);
            const away = made("button", {type: "button", className: "away", title: says.away}, "×");
            away.setAttribute("aria-label", `${says.away}: ${name}`);
            picture.dataset.act = "photo";
            away.dataset.act = "away";
            if (number === value.shown) picture.setAttribute("aria-current", "true");
            picture.dataset.number = away.dataset.number = number;
            return made("li", {className: `photo ${state}`}, picture, made("small", {textContent: said}), away);
        }),
    );
    if (held) element.querySelector(`[data-key="${held}"]`)?.focus();
    if (value.face !== show.face) look(1, 0, 0);
    show.face = value.face;
    place();
}
before.addEventListener("load", place);
new ResizeObserver(place).observe(frame);
watch("value", show);
show();
takes((files) => trigger("give", {files}));
