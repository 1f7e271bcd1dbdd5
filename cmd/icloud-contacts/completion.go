// completion: scripts that let a shell complete commands and flags.

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// completionCommand prints what a shell needs to know. The scripts are made from the
// commands themselves, so that no flag is forgotten.
var completionCommand = &command{
	name:    "completion",
	args:    "SHELL",
	summary: "completion for bash, zsh or fish",
	about: `
Prints a script that completes commands, flags and files in SHELL, which is
bash, zsh or fish. No request is sent.`,
	example: `
  icloud-contacts completion bash >~/.bash_completion.d/icloud-contacts
  source <(icloud-contacts completion zsh)
  icloud-contacts completion fish | source`,
	setup: func(*flag.FlagSet) action { return completion },
}

// completion lists all commands and therefore itself. In the declaration of commands this
// would be an initialization cycle.
func init() { commands = append(commands, completionCommand) }

// shells has the function for each shell.
var shells = map[string]func(io.Writer, []completed){"bash": completeBash, "zsh": completeZsh, "fish": completeFish}

func completion(_ context.Context, p *program, args []string) error {
	if len(args) != 1 || shells[args[0]] == nil {
		return misuse("completion needs one of bash, zsh and fish")
	}
	var b strings.Builder
	shells[args[0]](&b, completedCommands())
	_, err := io.WriteString(p.out, b.String())
	return err
}

// completed is one command as a shell completes it.
type completed struct {
	name, summary string
	flags         []completedFlag
	words         []string // the values of its argument, if these are known
}

// completedFlag is a flag. The value of a flag that is not a switch may be a file, a folder
// or one of some words.
type completedFlag struct {
	name, usage string
	value       string // "" for a switch; else "file", "folder", "words" or "other"
	words       []string
}

// completedCommands returns what can be completed, help included.
func completedCommands() (all []completed) {
	var names []string
	for _, c := range commands {
		names = append(names, c.name)
		done := completed{name: c.name, summary: c.summary}
		if c.args == "SHELL" {
			done.words = []string{"bash", "fish", "zsh"}
		}
		f := flag.NewFlagSet(c.name, flag.ContinueOnError)
		c.setup(f)
		f.VisitAll(func(g *flag.Flag) { done.flags = append(done.flags, newCompletedFlag(g)) })
		all = append(all, done)
	}
	return append(all, completed{name: "help", summary: "flags of a command, with examples", words: names},
		completed{name: "version", summary: "the version of this program"})
}

// newCompletedFlag finds out what kind of value a flag has, by the name of the value.
func newCompletedFlag(g *flag.Flag) completedFlag {
	value, usage := flag.UnquoteUsage(g)
	done := completedFlag{name: g.Name, usage: strings.Join(strings.Fields(usage), " "), value: "other"}
	switch value {
	case "":
		done.value = ""
	case "FILE":
		done.value = "file"
	case "DIR":
		done.value = "folder"
	case "FORMAT":
		done.value, done.words = "words", []string{"csv", "json", "vcf"}
	}
	return done
}

// completeBash writes a function for "complete -F", which needs only bash. No word in it
// contains a blank. Names of files may, and -o filenames quotes them.
func completeBash(w io.Writer, all []completed) {
	var names []string
	for _, c := range all {
		names = append(names, c.name)
	}
	fmt.Fprintf(w, `# Completion of icloud-contacts for bash.
_icloud_contacts() {
	local word=${COMP_WORDS[COMP_CWORD]} flags= words=
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		COMPREPLY=($(compgen -W '%s' -- "$word"))
		return
	fi
	case ${COMP_WORDS[1]}:${COMP_WORDS[COMP_CWORD-1]} in
`, strings.Join(names, " "))
	for _, c := range all {
		for _, f := range c.flags {
			switch f.value {
			case "":
				continue
			case "file":
				fmt.Fprintf(w, "\t%s:-%s) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$word\"); return ;;\n", c.name, f.name)
			case "folder":
				fmt.Fprintf(w, "\t%s:-%s) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- \"$word\"); return ;;\n", c.name, f.name)
			default:
				fmt.Fprintf(w, "\t%s:-%s) COMPREPLY=($(compgen -W '%s' -- \"$word\")); return ;;\n", c.name, f.name, strings.Join(f.words, " "))
			}
		}
	}
	fmt.Fprintf(w, "\tesac\n\tcase ${COMP_WORDS[1]} in\n")
	for _, c := range all {
		var flags []string
		for _, f := range c.flags {
			flags = append(flags, "-"+f.name)
		}
		fmt.Fprintf(w, "\t%s) flags='%s' words='%s' ;;\n", c.name, strings.Join(flags, " "), strings.Join(c.words, " "))
	}
	fmt.Fprint(w, `	esac
	if [[ $word == -* ]]; then words=$flags; fi
	COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -F _icloud_contacts icloud-contacts
`)
}

// completeZsh writes a function for compdef, which also works as a file of fpath.
func completeZsh(w io.Writer, all []completed) {
	fmt.Fprint(w, `#compdef icloud-contacts
# Completion of icloud-contacts for zsh.
_icloud_contacts() {
	if ((CURRENT == 2)); then
		local -a names=(
`)
	for _, c := range all {
		fmt.Fprintf(w, "\t\t\t%s\n", quote(c.name+":"+c.summary))
	}
	fmt.Fprint(w, "\t\t)\n\t\t_describe command names\n\t\treturn\n\tfi\n\tlocal name=$words[2]\n"+
		"\tshift words\n\t((CURRENT--))\n\tcase $name in\n")
	// These characters end a part of an argument of _arguments.
	escape := strings.NewReplacer("\\", "\\\\", ":", "\\:", "[", "\\[", "]", "\\]")
	for _, c := range all {
		fmt.Fprintf(w, "\t%s) _arguments", c.name)
		for _, f := range c.flags {
			spec := "-" + f.name + "[" + escape.Replace(f.usage) + "]"
			switch f.value {
			case "":
			case "file":
				spec += ":file:_files"
			case "folder":
				spec += ":folder:_files -/"
			default:
				spec += ":value:(" + strings.Join(f.words, " ") + ")"
			}
			fmt.Fprintf(w, " \\\n\t\t%s", quote(spec))
		}
		if len(c.words) > 0 {
			fmt.Fprintf(w, " \\\n\t\t%s", quote("1:word:("+strings.Join(c.words, " ")+")"))
		}
		fmt.Fprint(w, " ;;\n")
	}
	fmt.Fprint(w, `	esac
}
if [[ $funcstack[1] == _icloud-contacts ]]; then
	_icloud_contacts "$@"
else
	compdef _icloud_contacts icloud-contacts
fi
`)
}

// completeFish writes one line for each command and flag.
func completeFish(w io.Writer, all []completed) {
	fmt.Fprint(w, "# Completion of icloud-contacts for fish.\ncomplete -c icloud-contacts -f\n")
	for _, c := range all {
		fmt.Fprintf(w, "complete -c icloud-contacts -n __fish_use_subcommand -a %s -d %s\n", c.name, quote(c.summary))
	}
	for _, c := range all {
		within := "complete -c icloud-contacts -n '__fish_seen_subcommand_from " + c.name + "'"
		for _, f := range c.flags {
			fmt.Fprintf(w, "%s -o %s -d %s", within, f.name, quote(f.usage))
			switch f.value {
			case "":
			case "file":
				fmt.Fprint(w, " -r -F")
			case "folder":
				fmt.Fprint(w, " -x -a '(__fish_complete_directories)'")
			default:
				fmt.Fprintf(w, " -x -a %s", quote(strings.Join(f.words, " ")))
			}
			fmt.Fprintln(w)
		}
		if len(c.words) > 0 {
			fmt.Fprintf(w, "%s -a %s\n", within, quote(strings.Join(slices.Sorted(slices.Values(c.words)), " ")))
		}
	}
}

// quote quotes a text for all three shells. Within single quotes only fish has escapes: a
// backslash before a quote or a backslash. So quotes are replaced.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "’") + "'" }
