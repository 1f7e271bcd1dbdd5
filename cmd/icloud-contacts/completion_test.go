package main

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// completionOf writes the completion script of a shell to a file.
func completionOf(t *testing.T, shell string) (file string) {
	t.Helper()
	h := newHome(t)
	if got := h.run(t.Context(), []string{"completion", shell}); got != ok {
		t.Fatalf("exit status %d: %s", got, h.err.take())
	}
	file = filepath.Join(t.TempDir(), "completion")
	if err := os.WriteFile(file, []byte(h.out.take()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// shell runs a script in a shell, in a folder with one file and one folder.
func shell(t *testing.T, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("ICLOUD_TEST_REQUIRE_SERVERS") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "ZDOTDIR="+dir, "TERM=dumb")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// TestCompletionNames: every command and every flag is in each script.
func TestCompletionNames(t *testing.T) {
	t.Parallel()
	for name := range shells {
		data, err := os.ReadFile(completionOf(t, name))
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		for _, c := range commands {
			if !strings.Contains(text, c.name) {
				t.Errorf("%s: no %s", name, c.name)
			}
			f := flag.NewFlagSet("", flag.ContinueOnError)
			c.setup(f)
			f.VisitAll(func(g *flag.Flag) {
				want := "-" + g.Name
				if name == "fish" {
					want = "__fish_seen_subcommand_from " + c.name + "' -o " + g.Name + " "
				}
				if !strings.Contains(text, want) {
					t.Errorf("%s: no %q of %s", name, want, c.name)
				}
			})
		}
	}
}

// TestCompletionBash: bash completes commands, flags, words and files.
func TestCompletionBash(t *testing.T) {
	t.Parallel()
	file := completionOf(t, "bash")
	for line, want := range map[string]string{
		"ch":                     "check",
		"he":                     "help",
		"help w":                 "watch",
		"help ver":               "",
		"completion ":            "bash fish zsh",
		"list -lo":               "-long",
		"list ada -j":            "-json",
		"export -format v":       "vcf",
		"list -password-file s":  "secret secrets",
		"list -state s":          "secrets",
		"watch -interval ":       "",
		"nonsense -":             "",
		"export -o secret -phot": "-photos",
	} {
		// The last word is the one to complete; it may be empty.
		script := `source "$1"; shift; COMP_WORDS=(icloud-contacts "$@"); COMP_CWORD=$#; _icloud_contacts; echo "${COMPREPLY[*]}"`
		args := append([]string{"--norc", "-c", script, "bash", file}, strings.Split(line, " ")...)
		words := strings.Fields(shell(t, "bash", args...))
		slices.Sort(words)
		if got := strings.Join(words, " "); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
}

func TestCompletionFish(t *testing.T) {
	t.Parallel()
	file := completionOf(t, "fish")
	for line, want := range map[string]string{
		"ch":               "check",
		"help w":           "watch",
		"completion z":     "zsh",
		"list -lo":         "-long",
		"export -format v": "vcf",
		"list -state s":    "secrets/",
	} {
		out := shell(t, "fish", "--no-config", "-c", "source "+file+"; complete -C 'icloud-contacts "+line+"'")
		got, _, _ := strings.Cut(strings.TrimSpace(out), "\t")
		if got != want || strings.Count(strings.TrimSpace(out), "\n") > 0 {
			t.Errorf("%q: got %q, want %q alone", line, out, want)
		}
	}
}

// TestCompletionZsh: zsh completes only in its line editor, so the test looks at the
// arguments of _arguments and _describe.
func TestCompletionZsh(t *testing.T) {
	t.Parallel()
	file := completionOf(t, "zsh")
	script := `compdef() { print -r -- "compdef $*" }; source "$1"; shift
_describe() { print -rl -- ${(P)2} }; _arguments() { print -rl -- "$@" }
words=(icloud-contacts "$@"); CURRENT=$#words; _icloud_contacts`
	if got := shell(t, "zsh", "-f", "-c", script, "zsh", file, "ch"); !strings.Contains(got, "\ncheck:whether the password is accepted, and until when\n") {
		t.Errorf("commands: %q", got)
	}
	got := shell(t, "zsh", "-f", "-c", script, "zsh", file, "export", "-f")
	for _, want := range []string{"compdef _icloud_contacts icloud-contacts\n", "\n-format[FORMAT of the file\\:", ":value:(csv json vcf)\n", "\n-photos[fetch the photos", ":file:_files\n", ":folder:_files -/\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("flags: %q, want %q in it", got, want)
		}
	}
}
