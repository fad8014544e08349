// What widgets say of themselves. Numbers of which anything below 0 means "auto" say so, and one click leads from there
// to 0 and back. Empty texts show what may be written.
import { app } from "../../scripts/app.js";

const AUTO = {
    ResemblanceRestoreFaces: ["fidelity", "strength", "refine"],
    ResemblanceRestoreCrops: ["fidelity", "refine"],
    ResemblanceRestoreTokens: ["content"],
    ResemblanceMatchReferences: ["threshold"],
};
const WORD = "auto";
const PICTURE = `<svg xmlns='http://www.w3.org/2000/svg' width='28' height='16'><text x='14' y='12' font-family='sans-serif'
    font-size='12' text-anchor='middle' fill='gray'>${WORD}</text></svg>`;

/** The classic renderer draws what a widget says of itself: `word` where `holds`. */
function says(widget, word, holds) {
    let kind = Object.getPrototypeOf(widget);
    while (kind && !Object.hasOwn(kind, "_displayValue")) kind = Object.getPrototypeOf(kind);
    const own = kind && Object.getOwnPropertyDescriptor(kind, "_displayValue").get;
    if (own)
        Object.defineProperty(widget, "_displayValue", {
            configurable: true,
            get: () => (holds(widget.value) && !widget.computedDisabled ? word : own.call(widget)),
        });
}

/** An empty line of text shows its placeholder: Nodes 2.0 by itself, the classic renderer drawn. */
function showsPlaceholder(widget, inputs) {
    const placeholder = (inputs?.required?.[widget.name] ?? inputs?.optional?.[widget.name])?.[1]?.placeholder;
    if (widget.type !== "text" || !placeholder) return;
    widget.options.placeholder = placeholder;
    says(widget, placeholder, (value) => !value);
}

/** Nothing lies between -1 (auto) and 0. */
function leavesNothingBetween(widget) {
    let last = widget.value;
    const told = widget.callback;
    widget.callback = function (value, ...others) {
        const between = widget.value < 0 && widget.value > widget.options.min;
        if (between) widget.value = last < 0 ? 0 : widget.options.min;
        last = widget.value;
        return told?.call(this, widget.value, ...others);
    };
}

/** Nodes 2.0 shows plain inputs: where ours hold less than 0, a picture of the word lies over the number. */
function refreshStyle() {
    const rules = (app.canvas?.graph?.nodes ?? [])
        .filter((node) => AUTO[node.comfyClass])
        .flatMap((node) => AUTO[node.comfyClass].map((name) => [node.id, name]))
        .map(([id, name]) => `[data-node-id="${id}"] [aria-label="${name}"] input[aria-valuenow^="-"]`);
    let style = document.getElementById("resemblance-widgets");
    if (!style) {
        style = document.head.appendChild(document.createElement("style"));
        style.id = "resemblance-widgets";
    }
    const word = `url("data:image/svg+xml,${encodeURIComponent(PICTURE)}")`;
    style.textContent = rules.length
        ? `${rules.join(",\n")} { color: transparent !important; background: ${word} left center no-repeat; }`
        : "";
}

app.registerExtension({
    name: "resemblance.widgets",
    nodeCreated(node) {
        if (!node.comfyClass?.startsWith("Resemblance")) return;
        for (const widget of node.widgets ?? []) {
            showsPlaceholder(widget, node.constructor.nodeData?.input);
            if (!AUTO[node.comfyClass]?.includes(widget.name)) continue;
            says(widget, WORD, (value) => value < 0);
            leavesNothingBetween(widget);
        }
        if (AUTO[node.comfyClass]) setTimeout(refreshStyle); // by then it has its number
    },
    loadedGraphNode(node) {
        const detector = node.comfyClass?.startsWith("Resemblance") && node.widgets?.find((w) => w.name === "detector");
        if (detector?.value === "builtin") detector.value = "built-in"; // as it was before 0.1.0
    },
    afterConfigureGraph: refreshStyle,
    setup() {
        // Another workflow, or the inside of a subgraph, numbers its nodes anew.
        app.canvas?.canvas?.addEventListener?.("litegraph:set-graph", () => setTimeout(refreshStyle));
    },
});
