package history

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"slices"
)

//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks the file as this program's in SQLite's header: "DSTG".
const applicationID = 0x44535447

// migrate brings a database to the version of this package, which is the number of
// migrations: those that it lacks are applied in the order of their names.
func migrate(ctx context.Context, db *sql.DB) error {
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)

	// One transaction, in which nobody else writes: another process may be at it too.
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return told(err)
	}
	defer tx.Rollback() // after a commit it does nothing
	version, err := versionOf(ctx, tx)
	switch {
	case err != nil:
		return err
	case version == len(names):
		return nil
	}
	for i, name := range names[version:] {
		text, err := migrations.ReadFile("migrations/" + name)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, string(text)); err != nil {
			return fmt.Errorf("migration %s: %w", name, told(err))
		}
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version+i+1)); err != nil {
			return told(err)
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
		return told(err)
	}
	return told(tx.Commit())
}

// versionOf returns how many migrations a database has seen, 0 for an empty one.
func versionOf(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}) (int, error) {
	var application, version, tables int
	err := db.QueryRowContext(ctx, `SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)
		FROM pragma_application_id, pragma_user_version`).Scan(&application, &version, &tables)
	if err != nil {
		return 0, told(err)
	}
	known, err := migrations.ReadDir("migrations")
	switch {
	case err != nil:
		return 0, err
	case tables > 0 && application != applicationID:
		return 0, ErrNotHistory
	case version > len(known):
		return 0, fmt.Errorf("%w (it is of version %d, this program knows %d)", ErrNewer, version, len(known))
	}
	return version, nil
}
