package checks_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// pattern is one of the turns of phrase that make a reader read a sentence twice.
type pattern struct {
	name    string
	match   *regexp.Regexp // of a sentence
	except  *regexp.Regexp // what is taken out of the sentence before; nil for nothing
	instead string         // what to write
}

// find returns where in a sentence the pattern is, or -1.
func (d pattern) find(sentence string) int {
	if strings.HasSuffix(sentence, "?") {
		return -1
	}
	if d.except != nil {
		sentence = d.except.ReplaceAllStringFunc(sentence, func(s string) string { return strings.Repeat("_", len(s)) })
	}
	at := d.match.FindStringIndex(sentence)
	if at == nil {
		return -1
	}
	return at[0]
}

// dialect holds the turns of phrase that this project avoids.
var dialect = []pattern{
	{
		name:    "headless who",
		match:   regexp.MustCompile(`^(And |But |So )?Who [a-z]|(?i)\b(and|or|but|so|for|by|of|to|than|because|if|that|while|until) who [a-z]|\bwho(so)?ever\b|\bthose who\b`),
		instead: `name the actor: "the caller", "a reader", "an operator"`,
	},
	{
		name:    "that of",
		match:   regexp.MustCompile(`(?i)\b(that|those) of\b`),
		instead: "repeat the noun",
	},
	{
		name:    "where for if",
		match:   regexp.MustCompile(`^(And |But |So )?Where [a-z]|(?i)\b(also|even|only|except|unless|save) where\b|; where\b|\b(nil|none|empty|zero|0) where\b|\bwhere (there|nothing|nobody|none|no|neither|not)\b|\bwhere (it|that|this|one|an? [a-z]+) (is|was|has|had|does|did)\b`),
		instead: `"if" begins a condition, "where" a place`,
	},
	{
		name:    "gives",
		match:   regexp.MustCompile(`(?i)\bgives\b`),
		except:  regexp.MustCompile(`(?i)\bgives (up|way)\b`),
		instead: `"returns" for a result; else the verb for what happens: "reports", "makes", "yields"`,
	},
	{
		name:    "is none",
		match:   regexp.MustCompile(`(?i)\b(is|are|was|were|be) none\b`),
		except:  regexp.MustCompile(`(?i)\bthere (is|are|was|were|may be|can be|will be) none\b`),
		instead: `say what it is not: "is not a commit", "does not exist"`,
	},
	{
		name:    "is no",
		match:   regexp.MustCompile(`(?i)\b(is|are|was|were) no [a-z]`),
		except:  regexp.MustCompile(`(?i)\bthere (is|are|was|were) no\b|\b(is|are|was|were) no (longer|more|less|fewer|better|worse|different|larger|smaller|later|earlier|slower|faster|older|newer)\b`),
		instead: `"is not a", or "there is no"`,
	},
	{
		name:    "clause as subject",
		match:   regexp.MustCompile(`^(What [a-z]|That (a|an|the|it|its|they|their|there|what|which|some|no|nothing|nobody|none) )`),
		instead: "begin with the thing itself, then the verb",
	},
	{
		name:    "too between commas",
		match:   regexp.MustCompile(`, too,`),
		instead: `"also" before the verb`,
	},
	{
		name:    "begin as a noun",
		match:   regexp.MustCompile(`(?i)('s|\b(the|its|their|our|a|each|every|from)) begin\b`),
		instead: `"start" or "beginning"`,
	},
	{
		name:    "told of",
		match:   regexp.MustCompile(`(?i)\b(tell|tells|told) of\b`),
		instead: `"reports" or "names", with its subject`,
	},
	{
		name: "behind for after",
		match: regexp.MustCompile(`(?i)\b(begins?|began|stands?|stood|goes on|go on|went on|cut off|appended|comes?|came) behind\b` +
			`|\bbehind ((a|the|that|this|its) (position|checkpoint)|position)\b`),
		except:  regexp.MustCompile(`(?i)\bfar behind\b`),
		instead: `"after" or "beyond": "behind" is for lag`,
	},
}

func TestProseOfTheDialectIsFound(t *testing.T) {
	seeds := map[string]struct{ dialect, plain []string }{
		"headless who": {
			[]string{"Who verifies reads a damaged log.", "It is asked by who finds out.", "Whoever calls it waits.", "It is for those who look."},
			[]string{"Who decides?", "A caller who verifies reads a damaged log.", "The log knows who wrote it."},
		},
		"that of": {
			[]string{"Its error is that of reading.", "Those of the view are none."},
			[]string{"Its error is the error of reading.", "It returns those commits of a stream."},
		},
		"where for if": {
			[]string{"Where it is gone, Load fails.", "It returns nil where nobody asked.", "It waits, even where it lost.", "Zero where it has a gap.",
				"Read again where it is missing.", "It is kept where a reader has it.", "It goes on; where not, it ends."},
			[]string{"Where is it?", "The log says where it ends.", "The subject, where each commit stands, is literal."},
		},
		"gives": {
			[]string{"Load gives the commits of a stream."},
			[]string{"Load gives up after a second.", "Load returns what Append was given."},
		},
		"is none": {
			[]string{"A value that is none is refused.", "That is why a commit is none."},
			[]string{"It says so if there is none.", "None is refused."},
		},
		"is no": {
			[]string{"A message that is no commit is passed over.", "These are no proof."},
			[]string{"There is no proof.", "It is no longer true.", "A message that is not a commit is passed over."},
		},
		"clause as subject": {
			[]string{"What is published may be late.", "That a stream moved is no proof.", "That it was done counts."},
			[]string{"What is a stream?", "That proof ends the doubt.", "That is a stream.", "It returns what is published."},
		},
		"too between commas": {
			[]string{"It reads a damaged log, too, and goes on."},
			[]string{"It reads a damaged log, too.", "It is too long, too wide and too late."},
		},
		"begin as a noun": {
			[]string{"It reads from the begin.", "It is the log's begin.", "Read it from begin to end."},
			[]string{"The reads begin here.", "It is the beginning of the log."},
		},
		"told of": {
			[]string{"The caller is told of the loss.", "It tells of damage."},
			[]string{"The caller is told that it is lost."},
		},
		"behind for after": {
			[]string{"It begins behind the log's end.", "A read behind a position fails.", "It reads from behind position 7.", "It stands behind it."},
			[]string{"The replica is behind.", "The view lags behind the log.", "It is far behind a position.", "The stream waits behind it.",
				"Its goroutine is left behind.", "It begins after the log's end."},
		},
	}
	for _, d := range dialect {
		name, c := d.name, seeds[d.name]
		for _, s := range c.dialect {
			assert.GreaterOrEqual(t, d.find(s), 0, "%s is not found in: %s", name, s)
		}
		for _, s := range c.plain {
			assert.Equal(t, -1, d.find(s), "%s is found in: %s", name, s)
		}
		assert.NotEmpty(t, c.dialect, "%s has no seed", name)
	}
}
