// browser.js URL CHROMIUM OUT [shot] - the dashboard in a headless Chromium.
// SPDX-License-Identifier: MIT OR Unlicense
//
// Looks at the page of examples/dashboard until an alert was raised and cleared: no console message,
// the slow statement first and its plan below it, charts drawn, nothing wider than a phone. With
// "shot" it only takes pictures, light and dark, of a desk and of a phone, into OUT.
'use strict';
const {chromium} = require('playwright-core');
const [url, executablePath, out, mode] = process.argv.slice(2);
let passed = 0, failed = 0;

function verdict(name, isRight, said) {
    if (isRight) {
        passed++;
        console.log('ok ' + name);
    } else {
        failed++;
        console.log('# ' + JSON.stringify(said).slice(0, 600) + '\nnot ok ' + name);
    }
}
const sleep = ms => new Promise(done => setTimeout(done, ms));

// Asks the page, which may be loading itself anew just then.
async function ask(page, question) {
    for (let tries = 0;; tries++) {
        try {
            await page.waitForSelector('footer', {timeout: 5000});
            return await page.evaluate(question);
        } catch (error) {
            if (tries > 20) throw error;
            await sleep(100);
        }
    }
}
async function until(page, question, limit_s) {
    for (const end = Date.now() + limit_s * 1000; Date.now() < end; await sleep(300))
        if (await ask(page, question)) return true;
    return false;
}

async function shots(browser) {
    for (const colorScheme of ['light', 'dark'])
        for (const [name, width, height] of [['desk', 1280, 900], ['phone', 390, 844]]) {
            const page = await browser.newPage({colorScheme, viewport: {width, height},
                                                deviceScaleFactor: name === 'phone' ? 2 : 1});
            await page.goto(url);
            await ask(page, () => document.querySelector('details.statement').open = true);
            await page.screenshot({path: `${out}/dashboard-${name}-${colorScheme}.png`, fullPage: true});
            await page.close();
        }
}

async function test(browser) {
    const page = await browser.newPage({viewport: {width: 1280, height: 900}});
    const messages = [], requests = new Set();
    page.on('console', message => messages.push(message.text()));
    page.on('pageerror', error => messages.push(String(error)));
    page.on('request', request => requests.add(request.url()));
    await page.goto(url);
    verdict('the_page_is_rendered', await ask(page, () => document.title) === 'shop');
    verdict('an_alert_appears',
            await until(page, () => document.querySelectorAll('.alert').length > 0, 45));
    verdict('it_names_what_is_wrong',
            await until(page, () => /utilisation is|p95 is|waiting is|slow is|average is/.test(
                document.querySelector('#troubles').textContent), 10));
    verdict('the_slow_statement_is_first',
            await until(page, () => /sum\(o\.total\)/.test(
                document.querySelector('details.statement code').textContent), 20));
    await ask(page, () => document.querySelector('details.statement summary').click());
    verdict('its_plan_is_below_it', await until(page, () => {
        const first = document.querySelector('details.statement');
        first.open = true;
        return first.querySelector('pre') !== null && /SCAN/.test(first.querySelector('pre').innerText);
    }, 10));
    verdict('charts_have_lines', await until(page, () => [...document.querySelectorAll('figure svg')]
        .filter(svg => svg.querySelector('polyline, rect') !== null &&
                svg.getBoundingClientRect().height > 60).length >= 6, 20));
    verdict('it_refreshes_by_itself', await (async () => {
        await ask(page, () => { window.isTheSame = true; return true; });
        return until(page, () => window.isTheSame !== true, 10);
    })());
    await page.setViewportSize({width: 360, height: 740});
    verdict('it_fits_a_phone', await until(page, () =>
        document.documentElement.scrollWidth <= window.innerWidth, 5),
        await ask(page, () => document.documentElement.scrollWidth));
    const light = await ask(page, () => getComputedStyle(document.body).backgroundColor);
    await page.emulateMedia({colorScheme: 'dark'});
    const dark = await ask(page, () => getComputedStyle(document.body).backgroundColor);
    verdict('dark_mode_is_dark', light !== dark, [light, dark]);
    verdict('the_alert_of_utilisation_clears', await until(page, () =>
        !/utilisation is/.test(document.querySelector('#troubles').textContent), 60));
    verdict('nothing_is_said_in_the_console', messages.length === 0, messages);
    verdict('nothing_else_is_loaded', [...requests].every(one => one === url), [...requests]);
}

(async () => {
    const browser = await chromium.launch({executablePath, args: ['--no-sandbox']});
    await (mode === 'shot' ? shots : test)(browser);
    await browser.close();
    if (mode !== 'shot') console.log(`${passed} passed, ${failed} failed`);
    process.exit(failed === 0 ? 0 : 1);
})().catch(error => {
    console.log('# ' + error.stack + '\nnot ok the_browser_runs\n' + passed + ' passed, 1 failed');
    process.exit(1);
});
