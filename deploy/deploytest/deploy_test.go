package deploytest

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/emulator"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/venv"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
)

var (
	//go:embed requirements.txt
	requirements []byte

	fakesnow *emulator.Emulator
	commands string // folder of the CLI
)

func TestMain(m *testing.M) { peertest.Main(m, peertest.Wanted, install) }

func install() (uninstall func(), err error) {
	ctx := context.Background()
	python, err := venv.Python(ctx, "snow", requirements, os.Stderr)
	if err != nil {
		return nil, err
	}
	if commands, err = os.MkdirTemp("", "echo-in-snowflake-*"); err != nil {
		return nil, err
	}
	// A virtual environment that was moved has commands that do not find it.
	snow := "#!/bin/sh\nexec '" + python + "' -m snowflake.cli._app \"$@\"\n"
	if err := os.WriteFile(filepath.Join(commands, "snow"), []byte(snow), 0o700); err != nil {
		return nil, err
	}
	fakesnow, err = emulator.Start(ctx, os.Stderr)
	return func() {
		_ = fakesnow.Close()
		_ = os.RemoveAll(commands)
	}, err
}

// operator is somebody with the CLI and a connection to a platform.
type operator struct {
	t        *testing.T
	platform *platform
	home     string
	path     []string // of more commands
}

func newOperator(t *testing.T) *operator {
	p := startPlatform(t)
	return &operator{t: t, platform: p, home: p.configure(t)}
}

// result is what a command left behind.
type result struct {
	out  string // standard output and error
	code int
}

// run runs a command in the root of the project. input is what is typed.
func (o *operator) run(input string, command ...string) result {
	o.t.Helper()
	o.platform.settle()
	defer o.platform.settle()
	c := exec.Command(command[0], command[1:]...)
	if command[0] == "snow" {
		c = exec.Command(filepath.Join(commands, "snow"), command[1:]...)
	}
	c.Dir = "../.."
	c.Stdin = strings.NewReader(input)
	c.Env = append(os.Environ(), "SNOWFLAKE_HOME="+o.home,
		"PATH="+strings.Join(append(o.path, commands, os.Getenv("PATH")), string(os.PathListSeparator)))
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	if c.ProcessState == nil {
		require.NoError(o.t, err)
	}
	return result{out.String(), c.ProcessState.ExitCode()}
}

func (o *operator) setUp() {
	o.t.Helper()
	r := o.run("", "snow", "sql", "-f", "setup.sql")
	require.Zero(o.t, r.code, r.out)
}

func (o *operator) deploy(input string, args ...string) result {
	o.t.Helper()
	return o.run(input, append([]string{"bash", "deploy/deploy.sh"}, args...)...)
}

func digest(of byte) string { return "sha256:" + strings.Repeat(string(of), 64) }

func TestADeploymentFromNothingToTheAddress(t *testing.T) {
	o := newOperator(t)
	o.platform.ready = false
	o.setUp()
	o.setUp() // which changes nothing
	assert.True(t, o.platform.ready)
	o.platform.take()

	dry := o.deploy("", "--dry-run", "--digest", digest('a'))
	require.Zero(t, dry.code, dry.out)
	assert.Empty(t, o.platform.take(), "a dry run sends nothing")

	first := o.deploy("\n", "--digest", digest('a'))
	require.Zero(t, first.code, first.out)
	assert.Contains(t, first.out, "https://abc-org-account.snowflakecomputing.app\n")

	all := o.platform.take()
	path := o.platform.service.path
	const schema, properties = "echo_db.echo_schema.", "MIN_INSTANCES = 2 MAX_INSTANCES = 2 MIN_READY_INSTANCES = 1 AUTO_RESUME = TRUE QUERY_WAREHOUSE = echo_wh"
	version := strings.TrimSuffix(path, "/spec.yml")
	secret := func(name string) []string {
		return []string{
			"CREATE SECRET IF NOT EXISTS " + schema + name + " TYPE = GENERIC_STRING SECRET_STRING = '" + o.platform.secrets[name] + "'",
			"GRANT READ ON SECRET " + schema + name + " TO ROLE echo_role",
		}
	}
	const deployer, owner = "echo_deployer", "echo_role"
	want := map[string][]string{
		deployer: append(append(append([]string{"SHOW SECRETS IN SCHEMA echo_db.echo_schema"},
			secret("echo_jwt")...), secret("echo_jwt_previous")...), secret("echo_first_password")...),
		owner: {
			"SHOW SERVICES LIKE 'echo_service' IN SCHEMA echo_db.echo_schema",
			"CREATE SERVICE IF NOT EXISTS " + schema + "echo_service IN COMPUTE POOL echo_pool FROM @" + schema + "echo_stage SPECIFICATION_FILE = '" + path + "' " + properties,
			"SHOW SERVICES LIKE 'echo_service' IN SCHEMA echo_db.echo_schema",
			"SHOW SERVICE CONTAINERS IN SERVICE " + schema + "echo_service",
			"SHOW SERVICES LIKE 'echo_service' IN SCHEMA echo_db.echo_schema",
			"SHOW SERVICE CONTAINERS IN SERVICE " + schema + "echo_service",
			"ALTER SERVICE " + schema + "echo_service SET COMMENT = 'ready: " + version + " " + digest('a') + "'",
			"SHOW ENDPOINTS IN SERVICE " + schema + "echo_service", // whose address is still being made
			"SHOW ENDPOINTS IN SERVICE " + schema + "echo_service",
		},
	}
	for role, statements := range want {
		var of []sent
		for _, s := range all {
			if strings.EqualFold(s.role, role) && !strings.HasPrefix(s.text, "PUT ") {
				of = append(of, s)
			}
		}
		assert.Equal(t, statements, texts(of), role)
	}

	t.Run("a dry run had printed all of it", func(t *testing.T) {
		folder := regexp.MustCompile(`file://\S+/spec`)
		for _, text := range texts(all) {
			if m := createSecret.FindStringSubmatch(text); m != nil {
				text = strings.Replace(text, m[2], "…", 1)
			}
			assert.True(t, strings.Contains(folder.ReplaceAllString(dry.out, "file"), folder.ReplaceAllString(text, "file")+";\n"), text)
		}
	})
	t.Run("the specification is where the service is told, in the emulator too", func(t *testing.T) {
		listed := o.run("", "snow", "stage", "list-files", "@echo_db.echo_schema.echo_stage")
		assert.Contains(t, strings.ToLower(listed.out), "/spec.yml", listed.out)
		assert.Contains(t, o.platform.staged[path], "image: /echo_db/echo_schema/echo_repo/echo-in-snowflake@"+digest('a')+"\n")
	})
	t.Run("keys are 32 random bytes, each another", func(t *testing.T) {
		for _, name := range []string{"echo_jwt", "echo_jwt_previous"} {
			key, err := base64.StdEncoding.DecodeString(o.platform.secrets[name])
			require.NoError(t, err)
			assert.Len(t, key, 32)
		}
		assert.NotEqual(t, o.platform.secrets["echo_jwt"], o.platform.secrets["echo_jwt_previous"])
	})
	t.Run("the password is shown once, and no key ever", func(t *testing.T) {
		assert.Equal(t, 1, strings.Count(first.out, o.platform.secrets["echo_first_password"]))
		assert.NotContains(t, first.out, o.platform.secrets["echo_jwt"])
	})
	t.Run("no secret is left in the files of the CLI", func(t *testing.T) {
		require.NoError(t, filepath.WalkDir(o.home, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			for name, value := range o.platform.secrets {
				assert.NotContains(t, string(content), value, "%s in %s", name, path)
			}
			return err
		}))
	})
	t.Run("a second time changes nothing", func(t *testing.T) {
		before, secrets := *o.platform.service, fmt.Sprint(o.platform.secrets)
		again := o.deploy("", "--digest", digest('a'))
		require.Zero(t, again.code, again.out)
		for _, text := range texts(o.platform.take()) {
			assert.NotRegexp(t, "^(CREATE|ALTER SERVICE [^ ]+ FROM)", text)
		}
		assert.Equal(t, before, *o.platform.service)
		assert.Equal(t, secrets, fmt.Sprint(o.platform.secrets))
		assert.NotContains(t, again.out, "password")
	})
	t.Run("a new image is an upgrade, also of a suspended service", func(t *testing.T) {
		o.platform.service.status = "SUSPENDED"
		upgrade := o.deploy("", "--digest", digest('b'))
		require.Zero(t, upgrade.code, upgrade.out)
		assert.NotEqual(t, path, o.platform.service.path)
		assert.Contains(t, o.platform.service.comment, digest('b'))
		assert.Equal(t, "RUNNING", o.platform.service.status)
	})
	t.Run("one that does not become ready is gone back from", func(t *testing.T) {
		good := *o.platform.service
		o.platform.broken = digest('c')
		failed := o.deploy("", "--digest", digest('c'), "--timeout", "1")
		assert.Equal(t, 1, failed.code)
		assert.Contains(t, failed.out, "FAILED - "+digest('c')+" 1 exited_with_2", "which containers are not ready, and why")
		assert.Contains(t, failed.out, "the last words\nof the container\n", "as they were logged")
		assert.Contains(t, failed.out, "the new version did not become ready: the one before is back")
		assert.Equal(t, good, *o.platform.service)
	})
	t.Run("also one that never started, and so has no log", func(t *testing.T) {
		good := *o.platform.service
		o.platform.refused = "SELECT SYSTEM$GET_SERVICE_LOGS"
		failed := o.deploy("", "--digest", digest('c'), "--timeout", "1")
		assert.Contains(t, failed.out, "the new version did not become ready: the one before is back")
		assert.Equal(t, good, *o.platform.service)
	})
	t.Run("what was interrupted is not taken for what ran before", func(t *testing.T) {
		good := *o.platform.service
		o.platform.refused = "ALTER SERVICE echo_db.echo_schema.echo_service FROM @echo_db.echo_schema.echo_stage SPECIFICATION_FILE = '" + good.path
		assert.Equal(t, 1, o.deploy("", "--digest", digest('c'), "--timeout", "1").code)
		require.NotEqual(t, good.path, o.platform.service.path)
		o.platform.refused = ""
		again := o.deploy("", "--digest", digest('b'), "--timeout", "1")
		require.Zero(t, again.code, again.out)
		assert.Equal(t, good, *o.platform.service)
	})
}

func TestAFirstVersionThatDoesNotBecomeReadySaysSo(t *testing.T) {
	const password = `it's a "good" \one\ & <% more %>`
	o := newOperator(t)
	o.platform.broken = digest('a')
	failed := o.deploy(password+"\n", "--digest", digest('a'), "--timeout", "1")
	assert.Equal(t, 1, failed.code)
	assert.Contains(t, failed.out, "the first version did not become ready, and there is none to go back to")

	assert.Equal(t, `it''s a "good" \\one\\ & <% more %>`, o.platform.secrets["echo_first_password"], "a password as a literal of SQL")
	assert.NotContains(t, failed.out, "good", "whoever typed it knows it")
}

func TestWithoutAnybodyToAskTheFirstDeploymentIsRefused(t *testing.T) {
	o := newOperator(t)
	refused := o.deploy("", "--digest", digest('a'))
	assert.Equal(t, 1, refused.code)
	assert.Contains(t, refused.out, "set FIRST_SUPERUSER_PASSWORD")
	assert.Nil(t, o.platform.service)
}

// docker is a stand-in that writes down how it was called, and where it was pushed to.
const docker = `#!/bin/sh
echo "$@" >>"$0.calls"
case "$1 $2" in
"image inspect") echo "elsewhere.invalid/x@sha256:` + "%[1]s" + `"; echo "images.invalid/echo_db/echo_schema/echo_repo/echo-in-snowflake@sha256:%[2]s" ;;
login*) cat >/dev/null ;;
esac
`

func TestTheImageIsBuiltPushedAndDeployedByItsDigest(t *testing.T) {
	o := newOperator(t)
	bin := t.TempDir()
	script := fmt.Sprintf(docker, strings.Repeat("e", 64), strings.Repeat("d", 64))
	require.NoError(t, os.WriteFile(filepath.Join(bin, "docker"), []byte(script), 0o755))
	o.path = []string{bin}
	deployed := o.deploy("\n")
	require.Zero(t, deployed.code, deployed.out)
	assert.Contains(t, o.platform.service.comment, digest('d'), "that of the repository, not of any other")
	calls, err := os.ReadFile(filepath.Join(bin, "docker.calls"))
	require.NoError(t, err)
	assert.Regexp(t, regexp.MustCompile(`(?s)^build --platform linux/amd64 --build-arg VERSION=\S+ --build-arg REVISION=[0-9a-f]{40} -t images\.invalid/echo_db/echo_schema/echo_repo/echo-in-snowflake:\S+ \.\n.*login.*push images\.invalid/`), string(calls))
}

func TestWithoutSetupThereIsNothingToPushTo(t *testing.T) {
	o := newOperator(t)
	o.platform.ready = false
	refused := o.deploy("\n")
	assert.Equal(t, 1, refused.code)
	assert.Contains(t, refused.out, "there is no image repository echo_repo in echo_db.echo_schema: run setup.sql first")
}

func TestAnotherEnvironmentIsDescribedByVariablesAlone(t *testing.T) {
	for name, value := range map[string]string{
		"ECHO_PREFIX": "staging", "ECHO_MIN_INSTANCES": "3", "ECHO_LOG_LEVEL": "warn", "ECHO_CORS_ORIGINS": "https://a.example,https://b.example",
	} {
		t.Setenv(name, value)
	}
	dry := newOperator(t).deploy("", "--dry-run", "--digest", digest('a'))
	require.Zero(t, dry.code, dry.out)
	assert.NotContains(t, dry.out, "echo_")
	for _, part := range []string{
		"image: /staging_db/staging_schema/staging_repo/echo-in-snowflake@" + digest('a'), "SNOWFLAKE_WAREHOUSE: staging_wh",
		`LOG_LEVEL: "warn"`, `Access-Control-Allow-Origin: ["https://a.example", "https://b.example"]`,
		"MIN_INSTANCES = 3 MAX_INSTANCES = 3 MIN_READY_INSTANCES = 2",
	} {
		assert.Contains(t, dry.out, part)
	}
}

func TestWhatCannotBeDeployedIsRefusedBeforeAnythingIsSent(t *testing.T) {
	for variable, value := range map[string]string{
		"ECHO_PREFIX": "Echo", "ECHO_MIN_INSTANCES": "none", "ECHO_LOG_LEVEL": "info\"\n", "ECHO_CORS_ORIGINS": "https://a.example|",
	} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv(variable, value)
			refused := newOperator(t).deploy("", "--dry-run", "--digest", digest('a'))
			assert.Equal(t, 1, refused.code)
			assert.Contains(t, refused.out, "deploy.sh: "+variable)
		})
	}
}

func TestTheCLIsOwnDeploymentTellsTheServiceWhereItPutTheSpecification(t *testing.T) {
	project := t.TempDir() // in which it makes folders of its own
	for _, name := range []string{"snowflake.yml", "spec.yml"} {
		content, err := os.ReadFile("../" + name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(project, name), content, 0o600))
	}
	o := newOperator(t)
	deployed := o.run("", "snow", "spcs", "service", "deploy", "--project", project)
	require.Zero(t, deployed.code, deployed.out)
	sent := texts(o.platform.take())
	created := strings.Join(strings.Fields(sent[len(sent)-1]), " ")
	assert.Contains(t, created, "CREATE SERVICE echo_db.echo_schema.echo_service IN COMPUTE POOL echo_pool FROM @echo_db.echo_schema.echo_stage SPECIFICATION_FILE = 'spec.yml'")
	listed := o.run("", "snow", "stage", "list-files", "@echo_db.echo_schema.echo_stage")
	assert.Contains(t, listed.out, " echo_stage/spec.yml ")

	t.Setenv("ECHO_PREFIX", "staging")
	r := o.run("", "snow", "ws", "dump", "--project", project)
	require.Zero(t, r.code, r.out)
	assert.Contains(t, r.out, "stage: staging_db.staging_schema.staging_stage")
}

func TestTheAdministratorsPartRunsAsItIs(t *testing.T) {
	o := newOperator(t)
	r := o.run("", "snow", "sql", "-f", "deploy/bootstrap.sql", "-D", "repository=acme/echo")
	require.Zero(t, r.code, r.out)
	subjects := regexp.MustCompile(`SUBJECT = '(.*)'`).FindAllStringSubmatch(strings.Join(texts(o.platform.take()), "\n"), -1)
	require.Len(t, subjects, 2)
	assert.Equal(t, "repo:acme/echo:environment:setup", subjects[0][1])
	assert.Equal(t, "repo:acme/echo:environment:production", subjects[1][1])
}
