// Processes: the program starts itself again for the server and for each case, so that no
// case has the heap of another.

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
)

// again returns the command that starts this program in a role.
func again(role string, task any) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(task)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, role, string(text))
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// run runs this program in a role, and reads its result.
func run[Result any](role string, task any) (result Result, err error) {
	cmd, err := again(role, task)
	if err != nil {
		return result, err
	}
	out, err := cmd.Output()
	if err != nil {
		return result, fmt.Errorf("%s %+v: %w", role, task, err)
	}
	return result, json.Unmarshal(out, &result)
}

// roles are what the program can be started again as.
var roles = map[string]func(task []byte) error{
	"serve":    func(task []byte) error { return in(task, serve) },
	"listing":  func(task []byte) error { return out(task, measureListing) },
	"trips":    func(task []byte) error { return out(task, measureTrips) },
	"accounts": func(task []byte) error { return out(task, measureAccounts) },
	"idle":     func(task []byte) error { return out(task, measureIdle) },
}

// asked reports whether the program was started by itself. If so, it does its task.
func asked(args []string) bool {
	if len(args) != 3 || roles[args[1]] == nil {
		return false
	}
	if err := roles[args[1]]([]byte(args[2])); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", args[1]+":", err)
		os.Exit(1)
	}
	return true
}

// in gives f its task.
func in[Task any](text []byte, f func(Task) error) error {
	var task Task
	if err := json.Unmarshal(text, &task); err != nil {
		return err
	}
	return f(task)
}

// out gives f its task and writes the result to standard output.
func out[Task, Result any](text []byte, f func(Task) (Result, error)) error {
	return in(text, func(task Task) error {
		result, err := f(task)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(result)
	})
}
