// Builds calendar.js and calendar.css of the pages, with the licences of what is in them, into the folder named or that of the pages.
import { build } from "esbuild";
import { existsSync, readFileSync } from "node:fs";

const options = { entryPoints: ["calendar.js"], outdir: process.argv[2] ?? "../pages", bundle: true, minify: true, target: ["es2022", "safari16.4"], legalComments: "none" };

// What is in it is known once it has been built.
const { metafile } = await build({ ...options, write: false, metafile: true });
const packages = new Set();
for (const path of Object.keys(metafile.inputs)) {
	const found = path.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//);
	if (found) packages.add(found[1]);
}
const licences = [...packages].sort().map(name => {
	const at = `node_modules/${name}/`;
	const { version, license } = JSON.parse(readFileSync(at + "package.json", "utf8"));
	const file = ["LICENSE", "LICENSE.md"].map(f => at + f).find(existsSync);
	return `${name} ${version} (${license})\n\n${readFileSync(file, "utf8").trim()}`;
});
const note = `This file is made of these packages by bridge/web/calendar/build.js; do not edit it.\n\n${licences.join("\n\n").replaceAll("*/", "* /")}`;
await build({ ...options, banner: { js: `/*!\n${note}\n*/`, css: "/*! Made by bridge/web/calendar/build.js; the licences are in calendar.js. */" } });
