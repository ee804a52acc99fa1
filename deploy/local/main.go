//go:build unix

// Command local runs the service on an emulator of Snowflake, without an account. It starts the
// emulator, creates the tables of setup.sql in it, and runs the service with a configuration that
// finds them. The emulator, the service and the data end with the command. What works here may fail
// in Snowflake; see package emulator.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/emulator"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const database, schema = "echo_db", "echo_schema"

func run(ctx context.Context, out io.Writer) error {
	snowflake, err := emulator.Start(ctx, os.Stderr)
	if err != nil {
		return err
	}
	defer snowflake.Close()
	if err := snowflake.CreateTables(ctx, database, schema); err != nil {
		return err
	}

	password := rand.Text()
	env := map[string]string{
		"HTTP_ADDR":                "127.0.0.1:8000",
		"JWT_SECRET_KEY":           rand.Text() + rand.Text(),
		"FIRST_SUPERUSER":          "admin@example.com",
		"FIRST_SUPERUSER_PASSWORD": password,
	}
	for key := range env { // the environment may override them
		if value := os.Getenv(key); value != "" {
			env[key] = value
		}
	}
	if env["FIRST_SUPERUSER_PASSWORD"] != password {
		password = "the password of FIRST_SUPERUSER_PASSWORD"
	}
	fmt.Fprintf(out, "The service will be at http://%s/ ; sign in as %s with %s\n",
		env["HTTP_ADDR"], env["FIRST_SUPERUSER"], password)
	for key, value := range map[string]string{
		"STORAGE": "snowflake", "SNOWFLAKE_ACCOUNT": "fakesnow", "SNOWFLAKE_AUTH_TYPE": "password",
		"SNOWFLAKE_USER": "local", "SNOWFLAKE_PASSWORD": "local",
		"SNOWFLAKE_HOST": snowflake.Host, "SNOWFLAKE_PORT": strconv.Itoa(snowflake.Port), "SNOWFLAKE_PROTOCOL": "http",
		"SNOWFLAKE_DATABASE": database, "SNOWFLAKE_SCHEMA": schema,
	} {
		env[key] = value
	}
	return serve(ctx, env)
}

// serve builds the service and runs it until ctx ends. Then the service completes running requests.
// It does not use go run, which does not forward signals.
func serve(ctx context.Context, env map[string]string) error {
	folder, err := os.MkdirTemp("", "echo-in-snowflake-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	program := filepath.Join(folder, "server")
	build := exec.CommandContext(ctx, "go", "build", "-tags", "minicore_disabled", "-o", program,
		"github.com/echo-in-snowflake/echo-in-snowflake/cmd/server")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}

	service := exec.CommandContext(ctx, program)
	service.Cancel = func() error { return service.Process.Signal(os.Interrupt) }
	service.WaitDelay = 30 * time.Second
	// Ctrl-C reaches the whole process group. The signal of Cancel would be the second one, which kills.
	service.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	service.Stdout, service.Stderr = os.Stdout, os.Stderr
	service.Env = os.Environ()
	for key, value := range env {
		service.Env = append(service.Env, key+"="+value)
	}
	err = service.Run()
	if ctx.Err() != nil {
		return nil // the service ended because Cancel asked it to
	}
	return err
}
