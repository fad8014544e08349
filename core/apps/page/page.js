// What the page's own parts share: sending files to the visitor's folder, and saving a result.
() => {
    const sent = (files, told) =>
        new Promise((done, failed) => {
            const form = new FormData();
            for (const file of files) form.append("files", file, file.name);
            const request = new XMLHttpRequest();
            request.open("POST", "gradio_api/upload");
            request.upload.onprogress = (event) => told(event.loaded / Math.max(1, event.total));
            request.onerror = () => failed(new Error("offline"));
            request.onload = () =>
                request.status === 200
                    ? done(JSON.parse(request.responseText).map((path) => ({path})))
                    : failed(new Error(request.responseText));
            request.send(form);
        });

    /** Send files; `say` is told how far it is, and in the end nothing or what went wrong. */
    const send = async (files, says, say) => {
        if (!files.length) return [];
        say(says.sending);
        try {
            const paths = await sent(files, (share) => say(`${says.sending} ${Math.round(100 * share)}%`));
            say("");
            return paths;
        } catch (error) {
            say(error.message === "offline" ? says.offline : error.message, true);
            return [];
        }
    };

    /** What is dropped on an element, or chosen in the inputs for files in it, is sent and given away. */
    const takes = (element, says, say, give) => {
        const take = async (files) => {
            const paths = await send([...files], says, say);
            if (paths.length) give(paths);
        };
        element.addEventListener("change", (event) => {
            if (event.target.type !== "file") return;
            take([...event.target.files]);
            event.target.value = "";
        });
        for (const kind of ["dragenter", "dragover", "dragleave", "drop"])
            element.addEventListener(kind, (event) => {
                if (!event.dataTransfer.types.includes("Files")) return;
                event.preventDefault();
                element.classList.toggle("over", kind === "dragover" || kind === "dragenter");
                if (kind === "drop") take(event.dataTransfer.files);
            });
    };

    const save = (url, name) => {
        const link = Object.assign(document.createElement("a"), {href: url, download: name});
        document.body.append(link);
        link.click();
        link.remove();
    };
    // A file that misses its place must not take the page's.
    for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());
    window.resemblance = {takes, save};
}
