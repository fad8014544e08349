// The people in a photo: which faces are restored, and which better photos are theirs.
const list = element.querySelector(".people");
const NOBODY = -1;
let dragged = null;
let whose = null; // the face for which files are coming

function reference({id, name, thumb, text, plain, used, said}, people) {
    const choice = made("select", {title: says.whose, key: `whose ${id}`});
    choice.setAttribute("aria-label", `${says.whose} ${name}`);
    const options = [["", says.recognised], ...people.map(({n, name}) => [n, name]), [NOBODY, says.nobody]];
    for (const [value, label] of options) choice.append(made("option", {value, textContent: label}));
    choice.value = said ?? "";
    choice.addEventListener("change", () => trigger("move", {reference: id, face: choice.value}));
    const away = made("button", {type: "button", className: "away", textContent: "×", title: says.away});
    away.setAttribute("aria-label", `${says.away}: ${name}`);
    away.addEventListener("click", () => trigger("take_away", {reference: id}));
    const picture = thumb ? made("img", {src: thumb, alt: "", draggable: false}) : made("i", {});
    const words = made("span", {}, made("b", {textContent: name}), choice,
        ...(plain ? [] : [made("small", {textContent: text})]));
    const item = made("li", {className: `reference ${used ? "good" : "bad"}`, draggable: true, title: text}, picture, words, away);
    item.addEventListener("dragstart", (event) => {
        dragged = id;
        event.dataTransfer.setData("text/plain", name);
    });
    item.addEventListener("dragend", () => (dragged = null));
    return item;
}

/** A reference that is dropped on a person is theirs. */
function takesIn(item, face) {
    for (const kind of ["dragenter", "dragover", "dragleave", "drop"])
        item.addEventListener(kind, (event) => {
            if (kind === "drop" && dragged === null && face !== NOBODY) whose = face; // files from outside: see below
            if (dragged === null) return;
            event.preventDefault();
            item.classList.toggle("over", kind === "dragover" || kind === "dragenter");
            if (kind === "drop") trigger("move", {reference: dragged, face: String(face)});
        });
}

function person(face, references, people) {
    const tick = made("input", {type: "checkbox", checked: face.on, key: `tick ${face.n}`});
    tick.setAttribute("aria-label", `${says.restore} ${face.name}`);
    tick.addEventListener("change", () => trigger("tick", {face: face.n, on: tick.checked}));
    const look = made("button", {type: "button", className: "look", title: face.name, key: `look ${face.n}`},
        made("img", {src: face.thumb, alt: "", draggable: false}));
    look.setAttribute("aria-label", `${says.show} ${face.name}`);
    if (face.shown) look.setAttribute("aria-current", "true");
    look.addEventListener("click", () => trigger("face", {face: face.n}));
    const file = made("input", {type: "file", multiple: true, accept: accept});
    file.dataset.face = face.n;
    const add = made("label", {className: "add"}, file, says.add);
    const only = made("button", {type: "button", className: "only", textContent: says.only, key: `only ${face.n}`});
    only.addEventListener("click", () => trigger("only", {face: face.n}));
    const tools = made("span", {className: "tools"}, add, ...(people.length > 1 ? [only] : []));
    const head = made("div", {className: "who"}, look, made("span", {}, made("b", {textContent: face.name}),
        made("small", {textContent: face.text}), tools), tick);
    const item = made("li", {className: face.on ? "face on" : "face"}, head);
    item.append(made("ul", {}, ...servingFace(references, face.n).map((r) => reference(r, people))));
    takesIn(item, face.n);
    return item;
}

/** The photos that serve a face, each as the face in it that does. */
function servingFace(references, face) {
    return references.flatMap((r) =>
        r.serves.filter((served) => served.face === face).map(({thumb}) => ({...r, thumb, used: true})),
    );
}

function show() {
    const {faces = [], references = []} = props.value ?? {};
    const left = references.filter((r) => !r.serves.length);
    element.querySelector(".several").hidden = faces.length < 2;
    const rest = made("li", {className: "unused"}, made("b", {textContent: says.unused}));
    rest.append(made("ul", {}, ...left.map((r) => reference(r, faces))));
    takesIn(rest, NOBODY);
    const held = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    list.replaceChildren(...faces.map((face) => person(face, references, faces)), ...(left.length ? [rest] : []));
    if (held) list.querySelector(`[data-key="${held}"]`)?.focus(); // who uses the keyboard goes on from there
}

for (const button of element.querySelectorAll("[data-all]"))
    button.addEventListener("click", () => trigger("all", {on: button.dataset.all === "yes"}));
watch("value", show);
show();
element.addEventListener("change", (event) => (whose = event.target.dataset.face ?? null), {capture: true});
takes((files) => {
    trigger("give", {files, face: whose === null ? null : Number(whose)});
    whose = null;
});
