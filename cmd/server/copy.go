package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/telemetry"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// copyCommand returns the command that moves the data of an installation to another store.
func copyCommand() *cobra.Command {
	var from, to string
	cmd := command("copy", "Copy all accounts and what they own from Snowflake tables into empty tables of PostgreSQL",
		func(cmd *cobra.Command, _ []string) error {
			if from != config.StorageSnowflake || to != config.StoragePostgres {
				return configError{fmt.Errorf("--from=%q and --to=%q are not possible: "+
					"the only copy is --from=snowflake --to=postgres", from, to)}
			}
			groups := []config.Group{config.StorageKeys, config.LoggingKeys}
			cfg, err := config.LoadFor(cmd.Flags(), []string{from, to}, groups...)
			if problems := errors.Join(err, validate(cfg, groups)); problems != nil {
				return badConfig(problems)
			}
			return copyStore(cmd, cfg)
		})
	cmd.Flags().StringVar(&from, "from", "", "store to read: snowflake (required)")
	cmd.Flags().StringVar(&to, "to", "", "store to fill: postgres (required)")
	return cmd
}

// copyTimeout limits each statement on Snowflake, which reads many rows. The copy as a whole has no time limit.
const copyTimeout = 2 * time.Minute

// copyStore opens both stores, copies, and says what was copied.
func copyStore(cmd *cobra.Command, cfg config.Config) error {
	auth, err := snowflakeAuth(cfg)
	if err != nil {
		return configError{err}
	}
	options := snowflakeOptions(cfg, auth, telemetry.None())
	options.RequestTimeout, options.Connections = copyTimeout, 1
	source, err := snowflake.Open(options)
	if err != nil {
		return err
	}
	defer source.Close()
	targetOptions, err := postgresOptions(cfg, telemetry.None())
	if err != nil {
		return err
	}
	target, err := postgres.Open(targetOptions)
	if err != nil {
		return err
	}
	defer target.Close()

	c := transfer{source: source, progress: cmd.ErrOrStderr()}
	err = c.run(cmd.Context(), target)
	switch {
	case err == nil: // also if an interruption came too late
	case errors.Is(err, domain.ErrOutcomeUnknown):
		return fmt.Errorf("everything or nothing was copied, and another run finds out: %w", err)
	case cmd.Context().Err() != nil:
		return errors.New("interrupted: nothing was copied")
	default:
		return fmt.Errorf("nothing was copied: %w", err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%scopied, and both stores have the same\n", c.verified.String())
	return nil
}

// transfer is one copy of the data in source.
type transfer struct {
	source   *snowflake.Store
	target   *postgres.Import
	progress io.Writer
	reported time.Time
	faults   []string        // why rows are refused
	refused  int             // number of rows that cannot be read
	verified strings.Builder // a line for each kind of rows
}

// kind is one kind of rows.
type kind struct {
	name string
	copy func(context.Context) error
	// source and target add all rows of a store to the checksum.
	source, target func(context.Context, *checksum) error
}

// kinds returns the kinds of rows in the order in which they are copied: owners come first.
func (c *transfer) kinds() []kind {
	return []kind{
		kindOf(c, "accounts", c.source.ExportUsers, (*postgres.Import).AddUsers, (*postgres.Import).EachUser),
		kindOf(c, "items", c.source.ExportItems, (*postgres.Import).AddItems, (*postgres.Import).EachItem),
		kindOf(c, "sessions", c.source.ExportSessions, (*postgres.Import).AddSessions, (*postgres.Import).EachSession),
		kindOf(c, "clients", c.source.ExportClients, (*postgres.Import).AddClients, (*postgres.Import).EachClient),
	}
}

func kindOf[E any](
	c *transfer, name string,
	export func(context.Context, func(snowflake.Part[E]) error) error,
	add func(*postgres.Import, context.Context, []E) error,
	each func(*postgres.Import, context.Context, func(E)) error,
) kind {
	return kind{
		name: name,
		copy: func(ctx context.Context) error {
			done := 0
			return export(ctx, func(p snowflake.Part[E]) error { return addPart(ctx, c, name, &done, p, add) })
		},
		source: func(ctx context.Context, sum *checksum) error {
			return export(ctx, func(p snowflake.Part[E]) error { return addAll(c, name, sum, p) })
		},
		target: func(ctx context.Context, sum *checksum) error {
			return each(c.target, ctx, func(e E) { sum.add(e) })
		},
	}
}

// run copies everything in one transaction of the target, and reads both sides again before the commit.
func (c *transfer) run(ctx context.Context, target *postgres.Store) error {
	if _, err := c.source.Check(ctx); err != nil {
		return fmt.Errorf("the tables in Snowflake: %w", err)
	}
	if _, err := target.Check(ctx); err != nil {
		return fmt.Errorf("the tables in PostgreSQL: %w", err)
	}
	return target.Import(ctx, func(i *postgres.Import) error {
		c.target = i
		if err := c.findFaults(ctx); err != nil {
			return err
		}
		if err := c.copyRows(ctx); err != nil {
			return err
		}
		return c.verify(ctx)
	})
}

func (c *transfer) findFaults(ctx context.Context) error {
	found, err := c.source.Faults(ctx)
	for _, f := range found {
		line := fmt.Sprintf("%s (%d): %s", f.What, f.Total, strings.Join(f.IDs, ", "))
		if f.Total > len(f.IDs) {
			line += ", …"
		}
		c.faults = append(c.faults, line)
	}
	return err
}

// copyRows reads all rows and adds them to the target, until it finds one that it has to refuse. Then it only reads,
// to report all of these together.
func (c *transfer) copyRows(ctx context.Context) error {
	for _, k := range c.kinds() {
		if err := k.copy(ctx); err != nil {
			return err
		}
	}
	if more := c.refused - snowflake.MaxFaultIDs; more > 0 {
		c.faults = append(c.faults, fmt.Sprintf("%d more rows with such values", more))
	}
	if len(c.faults) > 0 {
		return fmt.Errorf("these rows must be corrected or deleted first:\n%s", strings.Join(c.faults, "\n"))
	}
	at, err := c.source.FirstSuperuserAt(ctx)
	if err != nil {
		return err
	}
	if at, ok := at.Get(); ok {
		return c.target.SetFirstSuperuser(ctx, at)
	}
	return nil
}

func addPart[E any](ctx context.Context, c *transfer, name string, done *int, p snowflake.Part[E],
	add func(*postgres.Import, context.Context, []E) error) error {
	for _, refusal := range p.Refused {
		if c.refused++; c.refused <= snowflake.MaxFaultIDs {
			c.faults = append(c.faults, refusal.Error())
		}
	}
	if len(c.faults) > 0 {
		return nil
	}
	*done += len(p.Rows)
	c.report("copied "+name, *done)
	return add(c.target, ctx, p.Rows)
}

// errDiffers is the error of a copy that is not the same as its source.
var errDiffers = errors.New("PostgreSQL does not have what Snowflake has now: " +
	"let nothing change the tables in Snowflake during the copy, and start it again")

// verify reads both stores again and compares all rows.
func (c *transfer) verify(ctx context.Context) error {
	for _, k := range c.kinds() {
		source, target := newChecksum(), newChecksum()
		if err := k.source(ctx, source); err != nil {
			return err
		}
		if err := k.target(ctx, target); err != nil {
			return err
		}
		if source.String() != target.String() {
			return fmt.Errorf("%w: %s: Snowflake %v, PostgreSQL %v", errDiffers, k.name, source, target)
		}
		fmt.Fprintf(&c.verified, "%s: %v\n", k.name, source)
	}
	return nil
}

func addAll[E any](c *transfer, name string, sum *checksum, p snowflake.Part[E]) error {
	if len(p.Refused) > 0 {
		return fmt.Errorf("%w: %w", errDiffers, p.Refused[0])
	}
	for _, row := range p.Rows {
		sum.add(row)
	}
	c.report("verified "+name, sum.rows)
	return nil
}

// report says how far the copy is, every two seconds.
func (c *transfer) report(what string, rows int) {
	if time.Since(c.reported) < 2*time.Second {
		return
	}
	c.reported = time.Now()
	fmt.Fprintf(c.progress, "%s: %d\n", what, rows)
}

// checksum is the number and the SHA-256 of rows in their order.
type checksum struct {
	rows int
	hash hash.Hash
}

func newChecksum() *checksum { return &checksum{hash: sha256.New()} }

// add adds a row. Its text in Go's syntax has every field, and quotes texts, so that it is different for two rows that
// differ.
func (s *checksum) add(row any) {
	s.rows++
	fmt.Fprintf(s.hash, "%#v\n", row)
}

func (s *checksum) String() string { return fmt.Sprintf("%d, SHA-256 %x", s.rows, s.hash.Sum(nil)) }
