package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/security"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/telemetry"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/terminal"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/users"
)

// checkConfig only reports success: withConfig has checked the configuration.
func checkConfig(cmd *cobra.Command, _ config.Config) error {
	fmt.Fprintln(cmd.OutOrStdout(), "the configuration can be used")
	return nil
}

// printConfig prints all settings even if some are wrong, and then reports the problems.
func printConfig(cmd *cobra.Command, _ []string) error {
	cfg, err := loadConfig(cmd)
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, s := range cfg.Settings() {
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Name, s.Value, s.Origin)
	}
	return errors.Join(w.Flush(), err)
}

func printVersion(cmd *cobra.Command, _ []string) error {
	fmt.Fprintln(cmd.OutOrStdout(), "echo-in-snowflake", version(), runtime.Version())
	return nil
}

// stamped is the version that the linker sets; see the Dockerfile.
var stamped string

// version returns the stamped version, or else the version that the go command records for the
// module: a tag, or the time and hash of the commit.
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

// healthcheck asks the service at HTTP_ADDR whether it is ready. Images without a shell or curl need
// it.
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
	url := "http://" + net.JoinHostPort(host, port) + "/readyz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	// The default transport would use a proxy that the environment names.
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

// migrateCommand returns the command that prepares a database for this version of the service. It is not part of
// serving, because the role of the service should not have the right to change the schema.
func migrateCommand() *cobra.Command {
	var dryRun bool
	cmd := command("migrate", "Bring the schema in PostgreSQL to the version that this program needs",
		withConfig(func(cmd *cobra.Command, cfg config.Config) error {
			if cfg.Storage != config.StoragePostgres {
				return configError{fmt.Errorf("STORAGE=%s has no migrations, STORAGE=postgres has: "+
					"for Snowflake tables, run setup.sql", cfg.Storage)}
			}
			options, err := postgresOptions(cfg, telemetry.None())
			if err != nil {
				return err
			}
			return postgres.Migrate(cmd.Context(), options, postgres.Migrations(), dryRun, cmd.OutOrStdout())
		}, config.StorageKeys, config.LoggingKeys))
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only print what would be done")
	return cmd
}

// accountAction is a use case of the operator for one account.
type accountAction = func(*users.Operator, context.Context, domain.Email, domain.Password) error

// superuserCommand returns the commands that restore access when no superuser can sign in.
func superuserCommand() *cobra.Command {
	var email, snowflakeUser string
	withPassword := func(use, short string, do accountAction) *cobra.Command {
		return operatorCommand(use, short, func(cmd *cobra.Command, cfg config.Config) error {
			address, password, err := readCredentials(
				cmd.Context(), email, cmd.InOrStdin(), cmd.ErrOrStderr(), cfg.ProjectName)
			if err != nil {
				return err
			}
			return operate(cmd, cfg, func(ctx context.Context, o *users.Operator) error {
				return do(o, ctx, address, password)
			})
		})
	}
	link := operatorCommand("link", "Let a user in Snowflake sign in as a superuser",
		func(cmd *cobra.Command, cfg config.Config) error {
			return operate(cmd, cfg, func(ctx context.Context, o *users.Operator) error {
				return linkSuperuser(ctx, o, email, snowflakeUser)
			})
		})
	link.Flags().StringVar(&snowflakeUser, "snowflake-user", "",
		"name of the user as CURRENT_USER() shows it, mostly in upper case (required)")
	cmd := group("superuser", "Create a superuser, or give one a new way to sign in",
		withPassword("create", "Create a superuser; asks for the password, or reads it from standard input",
			createSuperuser),
		withPassword("reset-password", "Give a superuser a new password, and end the account's tokens",
			(*users.Operator).ResetPassword),
		link,
	)
	cmd.PersistentFlags().StringVar(&email, "email", "", "e-mail of the account (required)")
	return cmd
}

// operatorCommand returns a command that changes a store of this configuration.
func operatorCommand(use, short string, do func(*cobra.Command, config.Config) error) *cobra.Command {
	return command(use, short, withConfig(func(cmd *cobra.Command, cfg config.Config) error {
		if cfg.Storage == config.StorageMemory {
			return configError{errors.New("STORAGE=memory keeps its data in the process that serves, " +
				"and this command cannot reach it: set STORAGE to another store")}
		}
		return do(cmd, cfg)
	}, config.StorageKeys, config.LoggingKeys))
}

// operate opens the store, and calls do with the time limit of a request.
func operate(cmd *cobra.Command, cfg config.Config, do func(context.Context, *users.Operator) error) error {
	store, err := openStore(cfg, telemetry.None())
	if err != nil {
		return err
	}
	defer store.shutdown()
	log, lines := newLoggers(cfg, cmd.ErrOrStderr())
	defer closeLog(lines)
	ctx, cancel := context.WithTimeout(cmd.Context(), cfg.RequestTimeout)
	defer cancel()
	return do(ctx, newOperator(store, security.NewPasswordHasher(), newAuditLog(log.essential).record))
}

func createSuperuser(o *users.Operator, ctx context.Context, email domain.Email, password domain.Password) error {
	_, err := o.CreateSuperuser(ctx, email, password)
	return err
}

// linkSuperuser returns errors that say what the operator can do.
func linkSuperuser(ctx context.Context, o *users.Operator, email, snowflakeUser string) error {
	address, err := domain.ParseEmail(email)
	if err != nil {
		return configError{fmt.Errorf("--email %w", err)}
	}
	user, err := domain.ParseSnowflakeUser(snowflakeUser)
	if err != nil {
		return configError{fmt.Errorf("--snowflake-user %w", err)}
	}
	err = o.LinkSnowflakeUser(ctx, address, user)
	switch {
	case errors.Is(err, domain.ErrNotFound):
		return fmt.Errorf("no superuser has the e-mail %s: give that of another account, "+
			"or create one with superuser create", address)
	case errors.Is(err, domain.ErrSnowflakeUserTaken):
		return fmt.Errorf("the Snowflake user %s signs in to another account: give another user, or sign in as %s "+
			"and delete that account (DELETE /users/me)", user, user)
	}
	return err
}

// readCredentials parses the e-mail, and the first line of in as the password of that account. If in is a terminal,
// it asks on out.
func readCredentials(ctx context.Context, email string, in io.Reader, out io.Writer, serviceName string) (
	domain.Email, domain.Password, error,
) {
	address, err := domain.ParseEmail(email)
	if err != nil {
		return domain.Email{}, domain.Password{}, configError{fmt.Errorf("--email %w", err)}
	}
	line, err := terminal.ReadSecret(ctx, in, out, "Password of "+address.String()+": ")
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted: nothing was changed")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return domain.Email{}, domain.Password{}, err
	}
	password, err := domain.ParsePasswordFor(line, address, serviceName)
	if err != nil {
		return domain.Email{}, domain.Password{}, configError{fmt.Errorf("the password on standard input %w", err)}
	}
	return address, password, nil
}
