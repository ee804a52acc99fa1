package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// ask sends statements as role and returns the rows of all answers. A dry run prints them instead.
func (d *deployment) ask(ctx context.Context, role string, statements ...string) ([]row, error) {
	script := strings.Join(statements, ";\n") + ";\n"
	if d.dryRun {
		fmt.Fprintf(d.stdout, "-- as %s\n%s", d.rename(role), script)
		return nil, nil
	}
	var out bytes.Buffer
	// Statements go over standard input, because every user of the machine can read a command line.
	err := d.snow(ctx, script, &out, role, "sql", "--enable-templating", "NONE", "--format", "json", "--stdin")
	if err != nil {
		return nil, err
	}
	var answer any
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return nil, fmt.Errorf("the answer of snow sql: %w", err)
	}
	return flatten(answer), nil
}

// snow runs a command of the Snowflake CLI as role.
func (d *deployment) snow(ctx context.Context, input string, out io.Writer, role string, args ...string) error {
	args = append(args, "--role", d.rename(role))
	if d.connection != "" {
		args = append(args, "--connection", d.connection)
	}
	if d.temporary {
		args = append(args, "--temporary-connection")
	}
	// The token with which a workflow of GitHub proves its identity is valid for minutes only.
	if d.getenv("SNOWFLAKE_WORKLOAD_IDENTITY_PROVIDER") == "OIDC" && d.getenv("GITHUB_ACTIONS") != "" {
		token, err := d.output(ctx, "snow", "auth", "oidc", "read-token", "--type=github")
		if err != nil {
			return err
		}
		d.token = "SNOWFLAKE_TOKEN=" + token
	}
	return d.execute(ctx, input, out, "snow", args...)
}

// output returns what a program prints.
func (d *deployment) output(ctx context.Context, name string, args ...string) (string, error) {
	var out strings.Builder
	err := d.execute(ctx, "", &out, name, args...)
	return strings.TrimSpace(out.String()), err
}

// execute runs a program and shows its standard error to the user. It interrupts the program when ctx ends.
func (d *deployment) execute(ctx context.Context, input string, out io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), out, d.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	// With an attestation, docker pushes an index. Its digest is not the digest of the image that runs.
	cmd.Env = append(os.Environ(), "BUILDX_NO_DEFAULT_ATTESTATIONS=1", d.token)
	err := d.runProgram(cmd)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return errInterrupted
	case errors.Is(err, exec.ErrNotFound) && name == "snow":
		return errors.New("there is no snow, the Snowflake CLI: see deploy/README.md")
	}
	return fmt.Errorf("%s %s: %w", name, args[0], err)
}

// rename gives the objects that text names the prefix of this environment.
func (d *deployment) rename(text string) string {
	return strings.ReplaceAll(text, "echo_", d.prefix+"_")
}

// sql returns a statement. It renames the objects in format, and nothing in args.
func (d *deployment) sql(format string, args ...any) string {
	return fmt.Sprintf(d.rename(format), args...)
}

// row is a row of an answer: texts by the names of their columns in lower case.
type row map[string]string

// flatten returns the rows of an answer: the CLI prints a list of them, and for several statements a list
// of lists.
func flatten(answer any) (rows []row) {
	switch answer := answer.(type) {
	case []any:
		for _, element := range answer {
			rows = append(rows, flatten(element)...)
		}
	case map[string]any:
		r := row{}
		for name, value := range answer {
			if value != nil {
				r[strings.ToLower(name)] = fmt.Sprint(value)
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// named returns the row of the object with that name, or an empty one. SHOW … LIKE finds others too: its
// pattern takes "_" for any character.
func named(rows []row, name string) row {
	if i := slices.IndexFunc(rows, func(r row) bool { return strings.EqualFold(r["name"], name) }); i >= 0 {
		return rows[i]
	}
	return row{}
}

// columns returns values, separated by spaces and without spaces in them.
func (r row) columns(names ...string) string {
	var values []string
	for _, name := range names {
		value := strings.Join(strings.Fields(r[name]), "_")
		values = append(values, cmp.Or(value, "-"))
	}
	return strings.Join(values, " ")
}
