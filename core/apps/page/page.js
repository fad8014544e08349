// Names for what gradio leaves without one, for those who hear the page.
() => {
    const named = {
        "#numbered img": ["alt", "The photograph with its faces numbered; the boxes below choose them too"],
        "#numbered button": ["aria-label", "Choose a face by clicking on it"],
        "#compare img": ["alt", "The picture before and after; Show, above, shows one of them alone"],
        "#single img": ["alt", "The picture that is chosen under Show"],
        "[aria-label='common.upload']": ["aria-label", "Add files"],
        "[title='common.upload']": ["title", "Add files"],
    };
    const name = () => {
        for (const [where, [what, text]] of Object.entries(named))
            for (const element of document.querySelectorAll(where))
                if (element.getAttribute(what) !== text) element.setAttribute(what, text);
        // A button inside a button: only the inner one does anything.
        for (const inner of document.querySelectorAll(".icon-button .upload-container")) {
            const outer = inner.closest(".icon-button");
            outer.setAttribute("role", "group");
            outer.tabIndex = -1;
        }
    };
    name();
    new MutationObserver(name).observe(document.body, {childList: true, subtree: true});
}
