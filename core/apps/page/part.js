// What every part of the page begins with; `says` holds its words and `element` is its place.
const note = element.querySelector(".note");

function say(text, bad) {
    note.textContent = text;
    note.classList.toggle("bad", !!bad);
}

/** An element; what has a key is found by it when the part is drawn anew, and keeps the focus. */
function made(tag, {key, ...properties}, ...children) {
    const one = Object.assign(document.createElement(tag), properties);
    if (key) one.dataset.key = key;
    one.append(...children);
    return one;
}

/** Take files that are dropped or chosen, as soon as the page's own script is there. */
function takes(give) {
    if (window.resemblance) window.resemblance.takes(element, says, say, give);
    else setTimeout(() => takes(give), 20);
}
