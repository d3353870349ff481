// SPDX-License-Identifier: GPL-3.0-or-later
// A job type of Flamenco, Blender's render farm: follow the people of a video, or of a folder of videos, on many
// machines. Several tasks look at parts of the frames at the same time; one task that depends on them all makes the
// motions. Copy this file into the folder `scripts` beside flamenco-manager. See docs/studio.md.

const JOB_TYPE = {
    label: "ReFit Motion",
    description: "Moving bodies from a video or a folder of videos",
    settings: [
        { key: "input", type: "string", required: true,
          description: "A video, one of numbered pictures, or a folder of videos. All machines find it under this path" },
        { key: "output", type: "string", required: true,
          description: "Folder for motion.npz and overlay.mp4. All machines find it under this path" },
        { key: "frames", type: "string", default: "",
          description: "Frames of one video, counted from 0, e.g. 0-1499. Empty: all frames of the video or the folder" },
        { key: "chunk_size", type: "int32", default: 200,
          description: "Frames of a task, where frames are given. Machines work on blocks of 200" },
        { key: "parts", type: "int32", default: 8,
          description: "How many tasks share all frames, where no frames are given" },
        { key: "people", type: "string", default: "all", choices: ["all", "largest"],
          description: "Everybody, or whoever fills most of the video" },
        { key: "focal", type: "float", default: 0,
          description: "Focal length in pixels. 0: it is found from the video" },
        { key: "overlay", type: "bool", default: true,
          description: "Also write videos with the bodies drawn over the frames" },
        { key: "engine", type: "string", default: "{refit_engine}", visible: "submission",
          description: "The program refit-engine, or a variable of the manager that names it for each platform" },
    ],
};

function compileJob(job) {
    const settings = job.settings;
    const frames = (settings.frames || "").trim();
    const parts = frames === "" ? equalParts(settings.parts) : chunks(frames, settings.chunk_size);
    const shared = ["--cache", settings.output.replace(/[\/\\]+$/, "") + "/parts"].concat(footage(settings, frames));

    const merge = task("merge", settings, ["track", settings.input, "--out", settings.output].concat(shared,
        settings.overlay ? [] : ["--no-overlay"]));
    for (const part of parts) {
        const observe = task("observe " + part.name, settings, ["observe", settings.input].concat(part.words, shared));
        job.addTask(observe);
        merge.addDependency(observe);
    }
    job.addTask(merge);
}

function task(name, settings, words) {
    const made = author.Task(name, "misc");
    made.addCommand(author.Command("exec", { exe: settings.engine, args: words }));
    return made;
}

// Equal shares of whatever the input holds: the machines count its frames.
function equalParts(count) {
    if (!(count >= 1)) {
        throw new Error("Parts must be at least 1.");
    }
    const parts = [];
    for (let number = 1; number <= count; number++) {
        parts.push({ name: number + " of " + count, words: ["--part", number + "/" + count] });
    }
    return parts;
}

function chunks(frames, size) {
    if (!/^\d+\s*-\s*\d+$/.test(frames)) {
        throw new Error("Frames must be one range such as 0-1499.");
    }
    if (!(size >= 1)) {
        throw new Error("The chunk size must be at least 1.");
    }
    return frameChunker(frames, size).map(function (chunk) {
        return { name: chunk, words: ["--chunk", span(chunk)] };
    });
}

// "3-10" or "7" as A:B, up to but not including B.
function span(text) {
    const ends = text.split("-").map(function (end) { return parseInt(end, 10); });
    return ends[0] + ":" + (ends[ends.length - 1] + 1);
}

function footage(settings, frames) {
    let words = ["--people", settings.people];
    if (frames !== "") {
        words = words.concat(["--frames", span(frames)]);
    }
    return settings.focal > 0 ? words.concat(["--focal", String(settings.focal)]) : words;
}
