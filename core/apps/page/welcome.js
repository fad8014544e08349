const note = element.querySelector(".note");
const say = (text, bad) => {
    note.textContent = text;
    note.classList.toggle("bad", !!bad);
};
element.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-example]");
    if (button) trigger("example", {name: button.dataset.example});
});
const begin = () =>
    window.resemblance
        ? window.resemblance.takes(element, says, say, (files) => trigger("give", {files}))
        : setTimeout(begin, 20);
begin();
