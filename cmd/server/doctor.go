package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/telemetry"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// report is what doctor prints with --json, for an issue report. It holds no secret and no data of users.
type report struct {
	Version string              `json:"version"`
	Go      string              `json:"go"`
	Storage string              `json:"storage"`
	Checks  []ports.CheckResult `json:"checks"`
}

var errChecksFailed = errors.New("the service cannot work: correct what failed")

func doctorCommand() *cobra.Command {
	var asJSON bool
	cmd := command("doctor", "Check configuration and store, and say how to correct what is wrong; changes nothing",
		func(cmd *cobra.Command, _ []string) error {
			cfg, problems := readConfig(cmd)
			r := report{version(), runtime.Version(), cfg.Storage, examine(cmd.Context(), cfg, problems)}
			if err := r.print(cmd.OutOrStdout(), asJSON); err != nil {
				return err
			}
			for _, c := range r.Checks {
				if c.Status == ports.CheckFailed {
					return errChecksFailed
				}
			}
			return nil
		})
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document, for an issue report")
	return cmd
}

// examine returns the results of all checks that are possible. problems are those of the configuration.
func examine(ctx context.Context, cfg config.Config, problems error) []ports.CheckResult {
	if problems != nil {
		var results []ports.CheckResult
		for line := range strings.Lines(problems.Error()) {
			results = append(results, ports.CheckResult{Check: "configuration", Status: ports.CheckFailed,
				Detail: strings.TrimSpace(line)}) // says what to do
		}
		return results
	}
	results := []ports.CheckResult{
		{Check: "configuration", Status: ports.CheckOK, Detail: configured(cfg)},
		signingKeysResult(cfg),
	}
	if cfg.ReadOnly {
		results = append(results, ports.CheckResult{Check: "read-only", Status: ports.CheckWarning,
			Detail: "READ_ONLY=true: changes are refused with 503", Cure: "remove it when the data has moved"})
	}
	store, err := openStore(cfg, telemetry.None())
	if err != nil {
		return append(results, ports.CheckResult{Check: "store", Status: ports.CheckFailed, Detail: err.Error(),
			Cure: "correct the keys that begin with the name of the store"})
	}
	defer store.shutdown()
	if store.examine == nil {
		return append(results, ports.CheckResult{Check: "store", Status: ports.CheckOK,
			Detail: "in memory: its data ends with the process"})
	}
	// A suspended warehouse needs longer than a request may take.
	ctx, cancel := context.WithTimeout(ctx, 3*cfg.RequestTimeout)
	defer cancel()
	return append(results, store.examine(ctx)...)
}

// configured names the keys that are set.
func configured(cfg config.Config) string {
	var set []string
	for _, s := range cfg.Settings() {
		if s.IsSet() {
			set = append(set, s.Name)
		}
	}
	if len(set) == 0 {
		return "every key has its default"
	}
	return "these keys are set: " + strings.Join(set, ", ")
}

func signingKeysResult(cfg config.Config) ports.CheckResult {
	r := ports.CheckResult{Check: "signing keys", Status: ports.CheckOK,
		Detail: fmt.Sprintf("1 signs, %d more are accepted", len(cfg.JWTAcceptedKeys))}
	if len(cfg.JWTAcceptedKeys) > 0 {
		r.Status = ports.CheckWarning
		r.Cure = "after a rotation, remove JWT_PREVIOUS_SECRET_KEY when the tokens of the earlier keys have expired"
	}
	return r
}

func (r report) print(out io.Writer, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(r)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range r.Checks {
		line := c.Detail
		if c.Cure != "" {
			line += "; " + c.Cure
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", c.Status, c.Check, strings.ReplaceAll(line, "\n", " "))
	}
	return w.Flush()
}
