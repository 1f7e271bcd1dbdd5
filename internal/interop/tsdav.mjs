// Drives a CardDAV server with tsdav: discovery, listing, create, change, delete.
//
//   node tsdav.mjs URL USER <password
//
// It prints one line of JSON with what it saw; an exception is a failure. What
// became of the address book is for the caller to look at.
import { readFileSync } from 'node:fs';
import { createDAVClient } from 'tsdav';

const [serverUrl, username] = process.argv.slice(2);
const password = readFileSync(0, 'utf8').trim();
const client = await createDAVClient({
  serverUrl,
  credentials: { username, password },
  authMethod: 'Basic',
  defaultAccountType: 'carddav',
});

const books = await client.fetchAddressBooks();
const addressBook = books[0];
const listed = await client.fetchVCards({ addressBook });

// tsdav gives back the Response of a write without looking at its status.
const must = (what, response) => {
  if (!response.ok) throw new Error(`${what}: ${response.status}`);
};
const card = (uid, name) => `BEGIN:VCARD\r\nVERSION:3.0\r\nUID:${uid}\r\nFN:${name}\r\nEND:VCARD\r\n`;

must('create', await client.createVCard({ addressBook, filename: 'tsdav.vcf', vCardString: card('tsdav', 'Created by tsdav') }));
const named = (name) => listed.find((c) => c.url.endsWith(`/${name}`));
const change = named('change.vcf');
must('change', await client.updateVCard({ vCard: { ...change, data: card('change', 'Changed by tsdav') } }));
must('delete', await client.deleteVCard({ vCard: named('delete.vcf') }));
// The change has given it another ETag, so that this one must be refused.
const stale = await client.deleteVCard({ vCard: change });

const after = await client.fetchVCards({ addressBook });
console.log(JSON.stringify({
  books: books.length,
  listed: listed.map((c) => c.url.split('/').pop()).sort(),
  data: listed.every((c) => c.data.includes('FN:')),
  stale: stale.status,
  after: after.map((c) => c.url.split('/').pop()).sort(),
}));
