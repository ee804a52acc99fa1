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
	cmd := command("copy", "Copy all accounts and items from Snowflake tables into empty tables of PostgreSQL",
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
	fmt.Fprintf(cmd.OutOrStdout(), "accounts: %v\nitems: %v\ncopied, and both stores have the same\n", c.users, c.items)
	return nil
}

// transfer is one copy of the data in source.
type transfer struct {
	source       *snowflake.Store
	target       *postgres.Import
	progress     io.Writer
	reported     time.Time
	faults       []string  // why rows are refused
	refused      int       // number of rows that cannot be read
	users, items *checksum // of what was verified
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
	done := 0
	err := c.source.ExportUsers(ctx, func(p snowflake.Part[domain.User]) error {
		return addPart(ctx, c, "copied accounts", &done, p, c.target.AddUsers)
	})
	if err != nil {
		return err
	}
	done = 0
	err = c.source.ExportItems(ctx, func(p snowflake.Part[domain.Item]) error {
		return addPart(ctx, c, "copied items", &done, p, c.target.AddItems)
	})
	if err != nil {
		return err
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

func addPart[E any](ctx context.Context, c *transfer, what string, done *int, p snowflake.Part[E],
	add func(context.Context, []E) error) error {
	for _, refusal := range p.Refused {
		if c.refused++; c.refused <= snowflake.MaxFaultIDs {
			c.faults = append(c.faults, refusal.Error())
		}
	}
	if len(c.faults) > 0 {
		return nil
	}
	*done += len(p.Rows)
	c.report(what, *done)
	return add(ctx, p.Rows)
}

// errDiffers is the error of a copy that is not the same as its source.
var errDiffers = errors.New("PostgreSQL does not have what Snowflake has now: " +
	"let nothing change the tables in Snowflake during the copy, and start it again")

// verify reads both stores again and compares all rows.
func (c *transfer) verify(ctx context.Context) error {
	users, items, copiedUsers, copiedItems := newChecksum(), newChecksum(), newChecksum(), newChecksum()
	err := c.source.ExportUsers(ctx, func(p snowflake.Part[domain.User]) error {
		return addAll(c, "verified accounts", users, p)
	})
	if err != nil {
		return err
	}
	err = c.source.ExportItems(ctx, func(p snowflake.Part[domain.Item]) error {
		return addAll(c, "verified items", items, p)
	})
	if err != nil {
		return err
	}
	if err := c.target.EachUser(ctx, func(u domain.User) { copiedUsers.add(u) }); err != nil {
		return err
	}
	if err := c.target.EachItem(ctx, func(i domain.Item) { copiedItems.add(i) }); err != nil {
		return err
	}
	c.users, c.items = users, items
	for _, sides := range []struct {
		name         string
		source, copy *checksum
	}{{"accounts", users, copiedUsers}, {"items", items, copiedItems}} {
		if sides.source.String() != sides.copy.String() {
			return fmt.Errorf("%w: %s: Snowflake %v, PostgreSQL %v", errDiffers, sides.name, sides.source, sides.copy)
		}
	}
	return nil
}

func addAll[E any](c *transfer, what string, sum *checksum, p snowflake.Part[E]) error {
	if len(p.Refused) > 0 {
		return fmt.Errorf("%w: %w", errDiffers, p.Refused[0])
	}
	for _, row := range p.Rows {
		sum.add(row)
	}
	c.report(what, sum.rows)
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
