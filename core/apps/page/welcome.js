element.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-example]");
    if (button) trigger("example", {name: button.dataset.example});
});
takes((files) => trigger("give", {files}));
