package deploytest

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/emulator"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/venv"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/platformtest"
)

var (
	//go:embed requirements.txt
	requirements []byte

	fakesnow *emulator.Emulator
	python   string // with the CLI
	commands string // folder with the CLI, the deploy command and a stand-in for docker
)

func TestMain(m *testing.M) { peertest.Main(m, peertest.Wanted, install) }

func install() (uninstall func(), err error) {
	ctx := context.Background()
	if python, err = venv.Python(ctx, "snow", requirements, os.Stderr); err != nil {
		return nil, err
	}
	if commands, err = os.MkdirTemp("", "echo-in-snowflake-*"); err != nil {
		return nil, err
	}
	for name, script := range map[string]string{
		// The commands of a virtual environment that was moved do not find it.
		"snow": "exec '" + python + "' -m snowflake.cli._app \"$@\"",
		"docker": `echo "$@" >>"$DOCKER_CALLS"
case "$1 $2" in
"image inspect") printf '` + strings.ReplaceAll(platformtest.DockerAnswer, "\n", `\n`) + `' ;;
login*) cat >/dev/null ;;
esac`,
	} {
		if err := os.WriteFile(filepath.Join(commands, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			return nil, err
		}
	}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", commands, "..").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the deploy command: %w: %s", err, out)
	}
	fakesnow, err = emulator.Start(ctx, os.Stderr)
	return func() {
		_ = fakesnow.Close()
		_ = os.RemoveAll(commands)
	}, err
}

// operator has the CLI and a connection to a platform.
type operator struct {
	t        *testing.T
	platform *platformtest.Platform
	home     string // configuration of the CLI
	files    string // temporary files of the commands
	docker   string // file with the calls of docker
}

func newOperator(t *testing.T) *operator {
	p := startProxy(t)
	return &operator{t, p.platform, p.configure(t), t.TempDir(), filepath.Join(t.TempDir(), "docker")}
}

// command prepares a command in the root of the project.
func (o *operator) command(variables map[string]string, name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	if path := filepath.Join(commands, name); name == "snow" || name == "deploy" {
		c = exec.Command(path, args...)
	}
	c.Dir = "../.."
	c.Env = append(os.Environ(), "SNOWFLAKE_HOME="+o.home, "TMPDIR="+o.files, "DOCKER_CALLS="+o.docker,
		"PATH="+commands+string(os.PathListSeparator)+os.Getenv("PATH"))
	for name, value := range variables {
		c.Env = append(c.Env, name+"="+value)
	}
	return c
}

// run runs a command. Input is what the operator types.
func (o *operator) run(variables map[string]string, input, name string, args ...string) platformtest.Result {
	o.t.Helper()
	o.platform.Synchronize()
	defer o.platform.Synchronize()
	c := o.command(variables, name, args...)
	c.Stdin = strings.NewReader(input)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	if c.ProcessState == nil {
		require.NoError(o.t, err)
	}
	calls, _ := os.ReadFile(o.docker)
	return platformtest.Result{Out: out.String(), Code: c.ProcessState.ExitCode(), Docker: strings.Split(string(calls), "\n")}
}

func (o *operator) snow(args ...string) platformtest.Result {
	o.t.Helper()
	r := o.run(nil, "", "snow", args...)
	require.Zero(o.t, r.Code, r.Out)
	return r
}

// allVariable makes TestDeployWithTheRealCLI run the whole suite. Each call of the CLI takes seconds.
const allVariable = "ECHO_TEST_DEPLOYMENTS"

func TestDeployWithTheRealCLI(t *testing.T) {
	suite := platformtest.TestLife
	if os.Getenv(allVariable) == "all" {
		suite = platformtest.TestDeploy
	}
	newOperator(t).snow("sql", "-f", "setup.sql") // the emulator has the stage from now on
	suite(t, func(t *testing.T) platformtest.Operator {
		t.Parallel()
		o := newOperator(t)
		return platformtest.Operator{
			Platform: o.platform,
			Run: func(variables map[string]string, input string, args ...string) platformtest.Result {
				return o.run(variables, input, "deploy", args...)
			},
		}
	})
}

// terminal runs a command on a terminal and types a line when the terminal shows the question for the password.
// From then on, the terminal has to show nothing of what is typed.
const terminal = `
import os, pty, sys, termios
shown = b""
def read(fd):
    global shown
    data = os.read(fd, 1024)
    if b"generated): " in shown + data and b"generated): " not in shown:
        if termios.tcgetattr(fd)[3] & termios.ECHO:
            sys.exit("the terminal shows what is typed")
        os.write(fd, b"typed on a terminal\n")
    shown += data
    return data
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:], read, lambda fd: b"")))`

func TestSetupAndADeploymentFromATerminalAreAllThatTheServiceNeeds(t *testing.T) {
	o := newOperator(t)
	o.platform.HasRepository = false
	o.snow("sql", "-f", "setup.sql")
	o.snow("sql", "-f", "setup.sql") // changes nothing
	assert.True(t, o.platform.HasRepository)

	deployed := o.run(nil, "", python, "-c", terminal, filepath.Join(commands, "deploy"), "--digest", platformtest.Digest('a'))
	require.Zero(t, deployed.Code, deployed.Out)
	t.Run("the terminal does not show the password", func(t *testing.T) {
		assert.Contains(t, deployed.Out, "Password of the first superuser (empty: one is generated): ")
		assert.NotContains(t, deployed.Out, "typed on a terminal")
		assert.Equal(t, "typed on a terminal", o.platform.Secrets["echo_first_password"])
	})
	t.Run("the specification is in the stage of the emulator", func(t *testing.T) {
		listed := o.snow("stage", "list-files", "@echo_db.echo_schema.echo_stage")
		assert.Contains(t, strings.ToLower(listed.Out), "/spec.yml", listed.Out)
	})
	t.Run("no secret is left in a file", func(t *testing.T) {
		require.Len(t, o.platform.Secrets, 3)
		for _, folder := range []string{o.home, o.files} {
			require.NoError(t, filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
				if err != nil || entry.IsDir() {
					return err
				}
				content, err := os.ReadFile(path)
				for name, value := range o.platform.Secrets {
					assert.NotContains(t, string(content), value, "%s in %s", name, path)
				}
				return err
			}))
		}
	})
}

func TestAnInterruptEndsTheDeployCommandAndRemovesItsFiles(t *testing.T) {
	o := newOperator(t)
	o.platform.Broken = platformtest.Digest('a')
	c := o.command(map[string]string{"FIRST_SUPERUSER_PASSWORD": "a first password"}, "deploy", "--digest", platformtest.Digest('a'))
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	require.NoError(t, c.Start())
	waits := func(s platformtest.Statement) bool { return strings.HasPrefix(s.Text, "SHOW SERVICE CONTAINERS") }
	require.Eventually(t, func() bool { return slices.ContainsFunc(o.platform.Take(), waits) }, time.Minute, 10*time.Millisecond)
	require.NoError(t, c.Process.Signal(os.Interrupt))
	assert.Error(t, c.Wait())
	assert.Contains(t, out.String(), "deploy: interrupted: run it again\n")
	left, err := filepath.Glob(filepath.Join(o.files, "echo-deploy-*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestTheCLIsOwnDeploymentTellsTheServiceWhereItPutTheSpecification(t *testing.T) {
	project := t.TempDir() // in which the CLI creates folders
	for _, name := range []string{"snowflake.yml", "spec.yml"} {
		content, err := os.ReadFile("../" + name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(project, name), content, 0o600))
	}
	o := newOperator(t)
	o.snow("spcs", "service", "deploy", "--project", project)
	sent := platformtest.Texts(o.platform.Take())
	created := strings.Join(strings.Fields(sent[len(sent)-1]), " ")
	assert.Contains(t, created, "CREATE SERVICE echo_db.echo_schema.echo_service IN COMPUTE POOL echo_pool FROM @echo_db.echo_schema.echo_stage SPECIFICATION_FILE = 'spec.yml'")
	listed := o.snow("stage", "list-files", "@echo_db.echo_schema.echo_stage")
	assert.Contains(t, listed.Out, " echo_stage/spec.yml ")

	dumped := o.run(map[string]string{"ECHO_PREFIX": "staging"}, "", "snow", "ws", "dump", "--project", project)
	require.Zero(t, dumped.Code, dumped.Out)
	assert.Contains(t, dumped.Out, "stage: staging_db.staging_schema.staging_stage")
}

func TestTheAdministratorsScriptRunsAsItIs(t *testing.T) {
	o := newOperator(t)
	o.snow("sql", "-f", "deploy/bootstrap.sql", "-D", "repository=acme/echo")
	subjects := regexp.MustCompile(`SUBJECT = '(.*)'`).FindAllStringSubmatch(strings.Join(platformtest.Texts(o.platform.Take()), "\n"), -1)
	require.Len(t, subjects, 2)
	assert.Equal(t, "repo:acme/echo:environment:setup", subjects[0][1])
	assert.Equal(t, "repo:acme/echo:environment:production", subjects[1][1])
}
