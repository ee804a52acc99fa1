package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/security"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/telemetry"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/users"
)

// checkConfig has nothing left to do: a configuration that cannot be used does not come this far.
func checkConfig(cmd *cobra.Command, _ config.Config) error {
	fmt.Fprintln(cmd.OutOrStdout(), "the configuration can be used")
	return nil
}

func printConfig(cmd *cobra.Command, cfg config.Config) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, s := range cfg.Settings() {
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Name, s.Value, s.Origin)
	}
	return w.Flush()
}

func printVersion(cmd *cobra.Command, _ []string) error {
	fmt.Fprintln(cmd.OutOrStdout(), "echo-in-snowflake", version(), runtime.Version())
	return nil
}

// stamped is the version that the linker is told, as the Dockerfile does.
var stamped string

// version is what was stamped, or else that of the module, as the go command finds it: a tag, or the
// time and hash of the commit.
func version() string {
	if stamped != "" {
		return stamped
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

// healthcheck is for images without a shell or curl.
func healthcheck(cmd *cobra.Command, cfg config.Config) error {
	host, port, err := net.SplitHostPort(cfg.HTTPAddr)
	if err != nil {
		return configError{err}
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	// The default transport would ask a proxy that the environment names.
	direct := &http.Transport{DisableKeepAlives: true}
	reply, err := direct.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", reply.Status)
	}
	fmt.Fprintln(cmd.OutOrStdout(), "ready")
	return nil
}

// superuserCommand is the way back in when nobody can sign in any more.
func superuserCommand() *cobra.Command {
	var email string
	verb := func(use, short string, act func(*users.Operator, context.Context, domain.Email, domain.Password) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: noArgs, RunE: withConfig(func(cmd *cobra.Command, cfg config.Config) error {
			if cfg.Storage == config.StorageMemory {
				return configError{errors.New("STORAGE=memory keeps its data in the process that serves, where this command cannot reach it: name another STORAGE")}
			}
			address, password, err := credentials(email, cmd.InOrStdin())
			if err != nil {
				return err
			}
			store, err := openStore(cfg, telemetry.None())
			if err != nil {
				return err
			}
			defer store.end()
			log := newLogger(cfg, cmd.ErrOrStderr())
			ctx, cancel := context.WithTimeout(cmd.Context(), cfg.RequestTimeout)
			defer cancel()
			return act(newOperator(store, security.NewPasswordHasher(), auditTo(log)), ctx, address, password)
		})}
	}
	cmd := group("superuser", "Create a superuser, or reset one's password; the password is read from standard input",
		verb("create", "Create a superuser", createSuperuser),
		verb("reset-password", "Give a superuser a new password, and end the account's tokens", (*users.Operator).ResetPassword),
	)
	cmd.PersistentFlags().StringVar(&email, "email", "", "e-mail of the account (required)")
	return cmd
}

func createSuperuser(o *users.Operator, ctx context.Context, email domain.Email, password domain.Password) error {
	_, err := o.CreateSuperuser(ctx, email, password)
	return err
}

// credentials checks the e-mail and reads the password from the first line of in.
func credentials(email string, in io.Reader) (domain.Email, domain.Password, error) {
	address, err := domain.ParseEmail(email)
	if err != nil {
		return domain.Email{}, domain.Password{}, configError{fmt.Errorf("--email %w", err)}
	}
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return domain.Email{}, domain.Password{}, err
	}
	password, err := domain.ParsePassword(strings.TrimRight(line, "\r\n"))
	if err != nil {
		return domain.Email{}, domain.Password{}, configError{fmt.Errorf("the password on standard input %w", err)}
	}
	return address, password, nil
}
