// Lists the contacts of an account with tsdav, as its documentation says to.
import { createDAVClient } from 'tsdav';

const [serverUrl, username, password, cards] = process.argv.slice(2);
const client = await createDAVClient({
	serverUrl,
	credentials: { username, password },
	authMethod: 'Basic',
	defaultAccountType: 'carddav',
});
const [addressBook] = await client.fetchAddressBooks();
const found = await client.fetchVCards({ addressBook });
const whole = found.filter((card) => card.data && card.data.includes('END:VCARD'));
if (whole.length !== Number(cards)) {
	throw new Error(`${whole.length} contacts, not ${cards}`);
}
