// Numbers of which anything below 0 means "auto": they say so, and one click leads from there to 0 and back.
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

/** The classic renderer draws what a widget says of itself. */
function saysAuto(widget) {
    const number = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(widget), "_displayValue")?.get;
    if (number)
        Object.defineProperty(widget, "_displayValue", {
            configurable: true,
            get: () => (widget.value < 0 && !widget.computedDisabled ? WORD : number.call(widget)),
        });
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
    let style = document.getElementById("resemblance-auto");
    if (!style) {
        style = document.head.appendChild(document.createElement("style"));
        style.id = "resemblance-auto";
    }
    const word = `url("data:image/svg+xml,${encodeURIComponent(PICTURE)}")`;
    style.textContent = rules.length
        ? `${rules.join(",\n")} { color: transparent !important; background: ${word} left center no-repeat; }`
        : "";
}

app.registerExtension({
    name: "resemblance.auto",
    nodeCreated(node) {
        for (const widget of node.widgets ?? []) {
            if (!AUTO[node.comfyClass]?.includes(widget.name)) continue;
            saysAuto(widget);
            leavesNothingBetween(widget);
        }
        if (AUTO[node.comfyClass]) setTimeout(refreshStyle); // by then it has its number
    },
    afterConfigureGraph: refreshStyle,
    setup() {
        // Another workflow, or the inside of a subgraph, numbers its nodes anew.
        app.canvas?.canvas?.addEventListener?.("litegraph:set-graph", () => setTimeout(refreshStyle));
    },
});
