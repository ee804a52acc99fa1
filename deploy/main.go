// Command deploy creates the service in Snowpark Container Services, or upgrades it:
//
//	go run ./deploy
//
// The Snowflake CLI signs in, sends the statements and uploads; docker builds and pushes. The command can
// be run again at any time: it keeps what exists and never replaces a secret. README.md is the guide.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/pflag"
)

const usage = `Usage: go run ./deploy [options]

Creates the service in Snowpark Container Services, or upgrades it.

%s
Run setup.sql first. The command needs the Snowflake CLI (snow) and, unless --digest is given, docker.
The user needs the roles echo_deployer and echo_role.

These variables describe an environment; the defaults are in brackets or in spec.yml:

  ECHO_PREFIX                prefix of the names of all objects (echo)
  ECHO_MIN_INSTANCES         minimum number of instances (2)
  ECHO_MAX_INSTANCES         maximum number of instances (the minimum)
  ECHO_CORS_ORIGINS          origins whose pages may call the API, separated by commas (none)
  ECHO_SNOWFLAKE_SIGN_IN     existing or create: users in Snowflake sign in without a password (off)
  ECHO_STORAGE               snowflake, or postgres; then run postgres.sql first (snowflake)
  ECHO_POSTGRES_HOST         postgres: host of the instance
  ECHO_<KEY>                 value of a key below env: in spec.yml or postgres.yml, such as ECHO_LOG_LEVEL
  FIRST_SUPERUSER_PASSWORD   password of the first superuser; without it, the command asks

The exit status is 0 if the service is ready, 1 if the deployment failed, and 2 if an option or a
variable is wrong.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process
	d := deployment{
		getenv: os.Getenv, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		runProgram: (*exec.Cmd).Run, pause: 3 * time.Second,
	}
	os.Exit(d.run(ctx, os.Args[1:]))
}

// deployment is the command: its surroundings, its options and what it learns.
type deployment struct {
	getenv         func(string) string
	stdin          io.Reader
	stdout, stderr io.Writer
	runProgram     func(*exec.Cmd) error
	pause          time.Duration // between two questions to Snowflake

	digest, connection         string
	dryRun, temporary          bool
	migrateOnly                bool
	timeout                    uint32 // seconds; a larger type could overflow a time.Duration
	prefix                     string // of the names of all objects
	minInstances, maxInstances int
	postgres                   bool // the store is PostgreSQL

	token string // SNOWFLAKE_TOKEN=… of a workflow
	seen  []row  // the service and its containers, as isReady found them
}

var (
	isDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString
	isPrefix = regexp.MustCompile(`^[a-z][a-z0-9]*$`).MatchString
)

// configure sets the options. After --help it returns [pflag.ErrHelp].
func (d *deployment) configure(args []string) error {
	flags := pflag.NewFlagSet("deploy", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.Usage = func() {} // printed below
	flags.StringVar(&d.digest, "digest", "", "deploy the image with this `digest`, sha256:…, instead of building one")
	flags.BoolVar(&d.dryRun, "dry-run", false, "print every statement, and send none")
	flags.BoolVar(&d.migrateOnly, "migrate-only", false, "migrate the schema of PostgreSQL, and end there")
	flags.Uint32Var(&d.timeout, "timeout", 600, "wait at most these `seconds` until the service is ready")
	flags.StringVarP(&d.connection, "connection", "c", "", "use the connection of the CLI with this `name`")
	flags.BoolVarP(&d.temporary, "temporary-connection", "x", false, "connect with the SNOWFLAKE_ variables alone")
	err := flags.Parse(args)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unknown option %s", flags.Arg(0))
	}
	if errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintf(d.stdout, usage, flags.FlagUsages())
	} else if err != nil {
		fmt.Fprintf(d.stderr, usage, flags.FlagUsages())
	}
	if err != nil {
		return err
	}
	if flags.Changed("digest") && !isDigest(d.digest) { // an empty one must not build an image
		return errors.New("--digest is sha256: and 64 hexadecimal digits")
	}
	if flags.Changed("connection") && d.connection == "" {
		return errors.New("--connection is the name of a connection")
	}
	if d.prefix = d.getenv("ECHO_PREFIX"); d.prefix == "" {
		d.prefix = "echo"
	}
	if !isPrefix(d.prefix) {
		return fmt.Errorf("ECHO_PREFIX is '%s': write lower-case letters and digits", d.prefix)
	}
	var errMin, errMax error
	d.minInstances, errMin = d.instances("ECHO_MIN_INSTANCES", 2)
	d.maxInstances, errMax = d.instances("ECHO_MAX_INSTANCES", d.minInstances)
	if errMin != nil || errMax != nil || d.minInstances < 1 || d.maxInstances < 1 {
		return errors.New("ECHO_MIN_INSTANCES and ECHO_MAX_INSTANCES are whole numbers from 1")
	}
	if d.maxInstances < d.minInstances {
		return fmt.Errorf("ECHO_MAX_INSTANCES is %d, less than ECHO_MIN_INSTANCES, %d", d.maxInstances, d.minInstances)
	}
	if err := d.chooseStore(); err != nil {
		return err
	}
	_, err = d.renderSpec() // refuses a value that spec.yml cannot hold, before anything is sent
	return err
}

// chooseStore sets postgres.
func (d *deployment) chooseStore() error {
	switch storage := d.getenv("ECHO_STORAGE"); storage {
	case "", "snowflake":
		if d.migrateOnly {
			return errors.New("--migrate-only needs ECHO_STORAGE=postgres")
		}
		return nil
	case "postgres":
		d.postgres = true
	default:
		return fmt.Errorf("ECHO_STORAGE is '%s': write snowflake or postgres", storage)
	}
	if d.getenv("ECHO_POSTGRES_HOST") == "" {
		return errors.New("ECHO_POSTGRES_HOST is not set: DESCRIBE POSTGRES INSTANCE shows the host")
	}
	return nil
}

func (d *deployment) instances(variable string, otherwise int) (int, error) {
	if value := d.getenv(variable); value != "" {
		return strconv.Atoi(value)
	}
	return otherwise, nil
}
