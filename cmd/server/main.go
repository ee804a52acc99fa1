// Command server is the program of the service: a REST API for accounts and items in memory, on Snowflake
// tables or on PostgreSQL. It is the only package in which configuration, adapters and use cases
// meet (wire.go, storage.go). It makes no decision that a use case or an adapter can make.
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

	"github.com/echo-in-snowflake/echo-in-snowflake/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals()...)
	// A second signal ends the process immediately.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// stopSignals are the signals that stop the service gracefully. A terminal that is closed sends SIGHUP, unless
// the program was started with nohup.
func stopSignals() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// Exit codes.
const (
	exitOK        = 0
	exitFailed    = 1 // a failure at run time
	exitBadConfig = 2 // a wrong command line or configuration
)

// configError is an error in the command line or the configuration. The caller of the program can
// correct it.
type configError struct{ error }

func (e configError) Unwrap() error { return e.error }

// badConfig returns the error for the given problems of the configuration, one on each line.
func badConfig(problems error) error {
	return configError{fmt.Errorf("the configuration cannot be used:\n%w", problems)}
}

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

// commands returns the command line of the program.
func commands() *cobra.Command {
	root := command("echo-in-snowflake",
		"A REST service for accounts and items, in memory, on Snowflake tables or on PostgreSQL", withConfig(serve))
	root.SilenceUsage, root.SilenceErrors = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(usageError)
	config.AddFlags(root.PersistentFlags())
	root.AddCommand(
		command("serve", "Serve until SIGTERM (the default)", withConfig(serve)),
		command("version", "Print the version", printVersion),
		command("healthcheck", "Exit with 0 if the service at HTTP_ADDR is ready",
			withConfig(healthcheck, config.ListenerKeys)),
		group("config", "Show or check the configuration",
			command("check", "Check the configuration and do nothing else", withConfig(checkConfig)),
			command("print", "Print every key, its value and its source; secrets are redacted", printConfig),
		),
		doctorCommand(),
		migrateCommand(),
		copyCommand(),
		superuserCommand(),
	)
	return root
}

// action is what a command does.
type action = func(cmd *cobra.Command, args []string) error

func command(use, short string, do action) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: noArgs, RunE: do}
}

// group returns a command that only has subcommands. Alone it prints its help: cobra checks the
// arguments of commands that run, and of no others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := command(use, short, func(cmd *cobra.Command, _ []string) error { return cmd.Help() })
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

// withConfig returns the action that loads the configuration and calls do with it. It fails if a key
// of the given groups is wrong; without groups, if any key is wrong.
func withConfig(do func(*cobra.Command, config.Config) error, groups ...config.Group) action {
	return func(cmd *cobra.Command, _ []string) error {
		cfg, err := loadConfig(cmd, groups...)
		if err != nil {
			return err
		}
		return do(cmd, cfg)
	}
}

// loadConfig returns the configuration, or a configError with all its problems.
func loadConfig(cmd *cobra.Command, groups ...config.Group) (config.Config, error) {
	cfg, problems := readConfig(cmd, groups...)
	if problems != nil {
		return cfg, badConfig(problems)
	}
	return cfg, nil
}

// readConfig reports all problems together, one on each line, including those that only the user of a value finds.
func readConfig(cmd *cobra.Command, groups ...config.Group) (cfg config.Config, problems error) {
	cfg, err := config.Load(cmd.Flags(), groups...)
	return cfg, errors.Join(err, validate(cfg, groups))
}
