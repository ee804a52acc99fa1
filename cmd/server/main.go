// Command server is the service as a program: a REST API for accounts and items on an in-memory
// store or on Snowflake tables. Here is the only place where configuration, adapters and use cases
// meet (wire.go); nothing is decided here that a use case or an adapter could decide.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/echo-in-snowflake/echo-in-snowflake/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK        = 0
	exitFailed    = 1 // at run time
	exitBadConfig = 2 // before it began: flags, configuration
)

// configError is what the caller of the program can mend.
type configError struct{ error }

func (e configError) Unwrap() error { return e.error }

// run executes one command line until it is done or ctx ends, and returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := commands()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, err)
	if errors.As(err, new(configError)) {
		return exitBadConfig
	}
	return exitFailed
}

// commands builds the command line.
func commands() *cobra.Command {
	root := &cobra.Command{
		Use:           "echo-in-snowflake",
		Short:         "A REST service for accounts and items, in memory or on Snowflake tables",
		Args:          noArgs,
		RunE:          withConfig(serve),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(usageError)
	config.AddFlags(root.PersistentFlags())
	root.AddCommand(
		&cobra.Command{Use: "serve", Short: "Serve until SIGTERM (the default)", Args: noArgs, RunE: withConfig(serve)},
		&cobra.Command{Use: "version", Short: "Print the version", Args: noArgs, RunE: printVersion},
		&cobra.Command{Use: "healthcheck", Short: "Exit with 0 if the service at HTTP_ADDR is ready", Args: noArgs, RunE: withConfig(healthcheck)},
		group("config", "Look at the configuration",
			&cobra.Command{Use: "check", Short: "Check the configuration and do nothing else", Args: noArgs, RunE: withConfig(checkConfig)},
			&cobra.Command{Use: "print", Short: "Print every key, its value and where that came from; secrets are redacted", Args: noArgs, RunE: withConfig(printConfig)},
		),
		superuserCommand(),
	)
	return root
}

// group is a command that only has others. It runs all the same, for cobra checks the arguments of
// nothing that does not run.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	g.AddCommand(commands...)
	return g
}

func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return usageError(cmd, err)
	}
	return nil
}

func usageError(cmd *cobra.Command, err error) error {
	return configError{fmt.Errorf("%w: see %s --help", err, cmd.CommandPath())}
}

// withConfig makes a command of what needs the configuration.
func withConfig(f func(*cobra.Command, config.Config) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		cfg, err := loadConfig(cmd.Flags())
		if err != nil {
			return err
		}
		return f(cmd, cfg)
	}
}

func loadConfig(flags *pflag.FlagSet) (config.Config, error) {
	cfg, err := config.Load(flags)
	// All problems at once: those that only a user of a value can see come with the others.
	if err = errors.Join(err, judge(cfg)); err != nil {
		return cfg, configError{fmt.Errorf("the configuration cannot be used:\n%w", err)}
	}
	return cfg, nil
}
