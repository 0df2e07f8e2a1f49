package browser

import (
	"os"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pictureEnv names the file into which the test paints the page.
const pictureEnv = "BANK_PICTURE"

// A customer opens an account, books, and pays to another bank. A second tab shows each balance as it changes. The
// page shows each step of a payment, there and back.
func TestACustomerIsServedByThePage(t *testing.T) {
	browser := startBrowser(t, findBrowser(t))
	other, url := startOtherBank(t)
	bank := startBank(t, url)
	bank.populate(t)
	for _, c := range []struct {
		name, account, owner string
		width                int
		hand                 hand
		picture              string
	}{
		{"at a desk, with the keyboard alone", "anna", "Anna Nováková", 1280, keyboard{}, os.Getenv(pictureEnv)},
		{"on a phone, with the keyboard alone", "bruno", "Bruno Keller", 375, keyboard{}, ""},
		{"on a phone, with the mouse", "dora", "Dora Lind", 375, mouse{}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := &visit{hand: c.hand, bank: bank, other: other, account: c.account, tab: openTab(t, browser, c.width, bank.url)}
			v.open(c.owner)
			v.second = openTab(t, browser, c.width, bank.url+"/#"+c.account)
			v.balances("0.00")
			v.deposit()
			v.isPaid()
			v.isGivenBack()
			v.isCancelled(func() { v.paint(c.picture) })
		})
	}
}

// visit is what one customer does.
type visit struct {
	*tab

	hand    hand
	second  *tab
	bank    *bank
	other   *otherBank
	account string
}

func (v *visit) open(owner string) {
	v.t.Helper()
	v.hand.press(v.tab, `#opening summary`)
	v.hand.fill(v.tab, `#open-id`, v.account)
	v.hand.fill(v.tab, `#open-owner`, owner)
	v.hand.fill(v.tab, `#open-overdraft`, "100")
	v.hand.press(v.tab, `#open button`)
	v.shows(owner, `document.getElementById("account-title").textContent`)
}

// balances waits until both tabs show a balance, in which a blank stands for the narrow one of the page.
func (v *visit) balances(want string) {
	v.t.Helper()
	for _, o := range []*tab{v.tab, v.second} {
		o.shows(want, `document.getElementById("balance").textContent.replaceAll("\u202f", " ")`)
	}
}

func (v *visit) deposit() {
	v.t.Helper()
	v.hand.fill(v.tab, `#book-amount`, "12345.60")
	v.hand.fill(v.tab, `#book-text`, "salary")
	v.hand.press(v.tab, `#book button`)
	v.balances("12 345.60")
	v.second.shows("Deposit: salary", `document.querySelector("#entries .what")?.textContent`)
}

// order orders a payment on the page, and returns its id.
func (v *visit) order(account, amount, text string) (id string) {
	v.t.Helper()
	known := value[string](v.tab, newest)
	v.hand.choose(v.tab, `#book input[value="payments"]`)
	if value[string](v.tab, `document.getElementById("book-bank").value`) == "" { // else the last payment has left it
		v.hand.fill(v.tab, `#book-bank`, "YZ")
	}
	v.run(chromedp.Evaluate[chromedp.Void](`document.getElementById("book-payee").value = ""`))
	v.hand.fill(v.tab, `#book-payee`, account)
	v.hand.fill(v.tab, `#book-amount`, amount)
	v.hand.fill(v.tab, `#book-text`, text)
	v.hand.press(v.tab, `#book button`)
	v.shows(true, `(() => { const id = `+newest+`; return id !== "" && id !== "`+known+`"; })()`)
	return value[string](v.tab, newest)
}

// newest is the payment that changed last.
const newest = `(document.querySelector("#payment-list .payment")?.id ?? "").replace("payment-", "")`

// follows waits until both tabs draw a payment in a state and with its steps.
func (v *visit) follows(id, state string, steps ...string) {
	v.t.Helper()
	item := `document.getElementById("payment-` + id + `")`
	for _, o := range []*tab{v.tab, v.second} {
		o.shows(append([]string{state}, steps...), `[`+item+`?.querySelector(".badge").textContent, `+
			`...[...`+item+`?.querySelectorAll(".step") ?? []].map((s) => s.getAttribute("aria-label"))]`)
	}
}

// isPaid follows a payment until the other bank has paid it.
func (v *visit) isPaid() {
	v.t.Helper()
	account := v.account + "-rent"
	id := v.order(account, "1200", "rent")
	v.follows(id, "running", "reserve: done", "send: under way", "answer: ahead", "confirm: ahead")
	v.balances("11 145.60")
	v.shows(true, `document.getElementById("terms").textContent.includes("in flight to other banks")`)
	v.other.take(account)
	v.follows(id, "waiting", "reserve: done", "send: done", "answer: under way", "confirm: ahead")
	v.bank.post(v.t, "/payments/"+id+"/answer", map[string]string{"answer": "accepted", "reference": "YZ-2041"})
	v.follows(id, "paid", "reserve: done", "send: done", "answer: done", "confirm: done")
	v.shows(false, `document.getElementById("terms").textContent.includes("in flight")`)
	v.balances("11 145.60")
}

// isGivenBack follows one that the other bank refuses.
func (v *visit) isGivenBack() {
	v.t.Helper()
	account := v.account + "-gym"
	v.other.take(account)
	id := v.order(account, "45.50", "gym")
	v.follows(id, "waiting", "reserve: done", "send: done", "answer: under way", "confirm: ahead")
	v.balances("11 100.10")
	v.bank.post(v.t, "/payments/"+id+"/answer", map[string]string{"answer": "refused", "reason": "that account was closed"})
	v.follows(id, "given back", "reserve: undone", "send: undone", "answer: in vain", "confirm: ahead")
	v.balances("11 145.60")
}

// isCancelled follows one that the customer cancels while it waits, which is looked at before.
func (v *visit) isCancelled(look func()) {
	v.t.Helper()
	account := v.account + "-power"
	v.other.take(account)
	id := v.order(account, "310", "electricity")
	v.follows(id, "waiting", "reserve: done", "send: done", "answer: under way", "confirm: ahead")
	v.balances("10 835.60")
	v.shows("1", `document.getElementById("count-waiting").textContent`)
	look()
	v.hand.press(v.tab, `#cancel-`+id)
	v.follows(id, "given back", "reserve: undone", "send: undone", "answer: in vain", "confirm: ahead")
	v.balances("11 145.60")
}

// paint writes what the tab shows to a file, if one is named.
func (o *tab) paint(file string) {
	o.t.Helper()
	if file == "" {
		return
	}
	o.shows(0, `document.getElementById("balance").getAnimations().length`) // it has lit up
	picture := act(o, chromedp.FullScreenshot(100))
	require.NoError(o.t, os.WriteFile(file, picture, 0o644))
	o.t.Logf("%s: %d bytes", file, len(picture))
}
