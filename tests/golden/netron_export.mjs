// Netron's own File > Export as SVG under headless Chromium; called by make_pictures.py.
// node netron_export.mjs PLAYWRIGHT_CORE CHROMIUM ADDRESS OPTIONS OUTPUT
// OPTIONS: comma-separated switches of the View menu to toggle (weights, attributes, names,
// direction), or "none".
import { createRequire } from 'node:module';
import { writeFileSync } from 'node:fs';

const [, , playwright, chromium, address, options, output] = process.argv;
const browsers = createRequire(import.meta.url)(playwright);
const browser = await browsers.chromium.launch({
    executablePath: chromium,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
});
try {
    const context = await browser.newContext({
        viewport: { width: 1200, height: 900 }, bypassCSP: true,
    });
    // Its question about cookies is answered, nothing but the local server is reached, and its
    // ban on eval, by which a page is driven, is off.
    await context.addCookies([{ name: 'consent', value: '1', url: address }]);
    await context.route((url) => url.hostname !== 'localhost', (route) => route.abort());
    // A version of years ago refuses to start but for its date.
    await context.route(`${address}/`, async (route) => {
        const response = await route.fetch();
        const today = new Date().toISOString().slice(0, 10);
        const body = (await response.text()).replace(
            /(<meta name="date" content=")[^"]*/, `$1${today} 00:00:00`);
        await route.fulfill({ response, body });
    });
    await context.addInitScript(() => {
        const original = window.eval;
        Object.defineProperty(window, 'eval', { get: () => original, set: () => {} });
    });
    const page = await context.newPage();
    await page.goto(address);
    const drawn = async () => {
        await page.waitForSelector('#nodes .node', { state: 'attached', timeout: 30000 });
        let before = '';
        for (let still = 0; still < 3;) {
            await page.waitForTimeout(150);
            const now = await page.evaluate(() => document.getElementById('canvas').innerHTML);
            still = now === before ? still + 1 : 0;
            before = now;
        }
    };
    await drawn();
    for (const option of options === 'none' ? [] : options.split(',')) {
        await page.evaluate((name) => window.__view__.toggle(name), option);
        await drawn();
    }
    const text = await page.evaluate(() => new Promise((resolve, reject) => {
        const host = window.__view__.host || window.__view__._host;
        host.export = (file, blob) => blob.text().then(resolve, reject);
        window.__view__.export('picture.svg');
    }));
    writeFileSync(output, text);
} finally {
    await browser.close();
}
