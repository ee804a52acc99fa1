//go:build unix

// Command local runs the service with a database on this machine, without an account.
//
// With --store snowflake, the default, it starts an emulator of Snowflake, creates the tables of setup.sql in it, and
// runs the service with a configuration that finds them. The data ends with the command. What works here may fail in
// Snowflake; see package emulator.
//
// With --store postgres it starts a PostgreSQL server, creates or updates the tables with the verb migrate, and runs
// the service with a role that may not change them. The data stays in a folder, which --data names. A server that is
// not installed is downloaded once; see package pgserver.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/emulator"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string, out io.Writer) error {
	cache, err := pgserver.CacheFolder()
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet("local", flag.ContinueOnError)
	store := flags.String("store", "snowflake", "snowflake (an emulator) or postgres")
	data := flags.String("data", filepath.Join(cache, "data"), "postgres: the folder that keeps the data")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case *store == "snowflake":
		return runOnEmulator(ctx, out)
	case *store == "postgres":
		folder, err := filepath.Abs(*data)
		if err != nil {
			return err
		}
		return runOnPostgres(ctx, folder, out)
	default:
		return fmt.Errorf("--store must be snowflake or postgres, not %q", *store)
	}
}

const database, schema = "echo_db", "echo_schema"

func runOnEmulator(ctx context.Context, out io.Writer) error {
	snowflake, err := emulator.Start(ctx, os.Stderr)
	if err != nil {
		return err
	}
	defer snowflake.Close()
	if err := snowflake.CreateTables(ctx, database, schema); err != nil {
		return err
	}

	env := common()
	password := "the password of FIRST_SUPERUSER_PASSWORD"
	if env["FIRST_SUPERUSER_PASSWORD"] == "" {
		password = rand.Text()
		env["FIRST_SUPERUSER_PASSWORD"] = password
	}
	announce(out, env, password)
	for key, value := range map[string]string{
		"STORAGE": "snowflake", "SNOWFLAKE_ACCOUNT": "fakesnow", "SNOWFLAKE_AUTH_TYPE": "password",
		"SNOWFLAKE_USER": "local", "SNOWFLAKE_PASSWORD": "local",
		"SNOWFLAKE_HOST": snowflake.Host, "SNOWFLAKE_PORT": strconv.Itoa(snowflake.Port), "SNOWFLAKE_PROTOCOL": "http",
		"SNOWFLAKE_DATABASE": database, "SNOWFLAKE_SCHEMA": schema,
	} {
		env[key] = value
	}
	program, err := build(ctx)
	if err != nil {
		return err
	}
	defer os.RemoveAll(filepath.Dir(program))
	return execute(ctx, env, program)
}

// common returns the configuration that does not depend on the store. The environment may override it.
func common() map[string]string {
	env := map[string]string{
		"HTTP_ADDR":                "127.0.0.1:8000",
		"JWT_SECRET_KEY":           rand.Text() + rand.Text(),
		"FIRST_SUPERUSER":          "admin@example.com",
		"FIRST_SUPERUSER_PASSWORD": "",
	}
	for key := range env {
		if value := os.Getenv(key); value != "" {
			env[key] = value
		}
	}
	return env
}

func announce(out io.Writer, env map[string]string, password string) {
	fmt.Fprintf(out, "The service will be at http://%s/ ; sign in as %s with %s\n",
		env["HTTP_ADDR"], env["FIRST_SUPERUSER"], password)
}

// build builds the service in a temporary folder of its own, and returns the path of the program. It does not use
// go run, which does not forward signals.
func build(ctx context.Context) (program string, err error) {
	folder, err := os.MkdirTemp("", "echo-in-snowflake-*")
	if err != nil {
		return "", err
	}
	program = filepath.Join(folder, "server")
	compiler := exec.CommandContext(ctx, "go", "build", "-tags", "minicore_disabled", "-o", program,
		"github.com/echo-in-snowflake/echo-in-snowflake/cmd/server")
	if out, err := compiler.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("go build: %w: %s", err, out), os.RemoveAll(folder))
	}
	return program, nil
}

// execute runs the program until it ends, or until ctx ends. Then the program completes what it does.
func execute(ctx context.Context, env map[string]string, program string, arguments ...string) error {
	service := exec.CommandContext(ctx, program, arguments...)
	service.Cancel = func() error { return service.Process.Signal(os.Interrupt) }
	service.WaitDelay = 30 * time.Second
	// Ctrl-C reaches the whole process group. The signal of Cancel would be the second one, which kills.
	service.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	service.Stdout, service.Stderr = os.Stdout, os.Stderr
	// POSTGRES_URL of the environment would exclude the keys that are set here.
	service.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "POSTGRES_") })
	for key, value := range env {
		service.Env = append(service.Env, key+"="+value)
	}
	err := service.Run()
	if ctx.Err() != nil {
		return nil // the service ended because Cancel asked it to
	}
	return err
}
