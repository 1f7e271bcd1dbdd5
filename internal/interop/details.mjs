// Reads cards with ical.js.
//
//   node details.mjs [--write] <cards.json >properties.json
//
// Cards are a list of texts. Of each it prints what ical.js makes of it, a list of
// properties in the card's order, or null if it refuses the card; and, with
// --write, whether writing the card again gives the same text.
import { readFileSync } from 'node:fs';
import ICAL from 'ical.js';

const list = (value) => (Array.isArray(value) ? value : [value]);

const attempt = (f, text) => {
  try {
    return f(text);
  } catch {
    return null;
  }
};

// Of several cards it is the first.
const parse = (text) => {
  const card = ICAL.parse(text);
  return card[0] === 'vcard' ? card : card[0];
};

const properties = (text) =>
  parse(text)[1].map(([name, { group = '', ...params }, , ...values]) => ({
    name: name.toUpperCase(),
    group,
    params: Object.fromEntries(Object.entries(params).map(([key, value]) => [key.toUpperCase(), list(value)])),
    value: values.length === 1 ? values[0] : values,
  }));

const same = (text) => `${ICAL.stringify(parse(text))}\r\n` === text;

const read = (text) => ({
  properties: attempt(properties, text),
  same: process.argv.includes('--write') && Boolean(attempt(same, text)),
});

console.log(JSON.stringify(JSON.parse(readFileSync(0, 'utf8')).map(read)));
