package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/cli/term"
	"firedrill/internal/evidence"
)

// anchorOptions are the flags of `evidence anchor`.
type anchorOptions struct {
	print, tag  bool
	git, bucket string
	keep        days
}

func (a *app) evidenceAnchorCommand() *cobra.Command {
	o := anchorOptions{keep: days(10 * 365 * 24 * time.Hour)}
	c := &cobra.Command{
		Use: "anchor --print | --git DIR | --bucket s3://…", Short: "Keep the end of the chain where nobody here can change it",
		Long: `Anchor says in one line how far the chain goes and which its last entry is. Kept
elsewhere, the line shows later that the end was cut off, or that the chain was
written anew by somebody who has the key. It is worth as much as the place:

  --print   for a mail, a ticket, a log, paper
  --git     a commit of the file ` + anchorsFile + ` in a repository; push it. With --tag
            an annotated tag instead
  --bucket  an object under object lock in a bucket, for --keep (10 years). The key
            comes from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY

Give what you kept to: firedrill evidence verify --anchor …`,
		Example: `  firedrill evidence anchor --print
  firedrill evidence anchor --git ~/dr-anchors && git -C ~/dr-anchors push
  firedrill evidence anchor --bucket s3://dr-anchors/foundation`,
		Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			if !o.print && o.git == "" && o.bucket == "" {
				return usage("it is not said where the anchor is kept", "give --print, --git DIR or --bucket s3://…")
			}
			if o.tag && o.git == "" {
				return usage("--tag belongs to --git", "give --git DIR --tag")
			}
			return a.evidenceAnchor(c.Context(), o)
		},
	}
	c.Flags().BoolVar(&o.print, "print", false, "print the line")
	c.Flags().StringVar(&o.git, "git", "", "`folder` of a git repository that gets a commit")
	c.Flags().BoolVar(&o.tag, "tag", false, "with --git: an annotated tag instead of a commit")
	c.Flags().StringVar(&o.bucket, "bucket", "", "`address` in a bucket with object lock: s3://BUCKET/PREFIX")
	c.Flags().Var(&o.keep, "keep", "with --bucket: for how long nobody can remove it")
	return c
}

// anchorDocument is what `evidence anchor` prints with --json.
type anchorDocument struct {
	SchemaVersion int             `json:"schema_version"`
	Line          string          `json:"line"`
	Anchor        evidence.Anchor `json:"anchor"`
	Kept          []string        `json:"kept"` // where
}

func (a *app) evidenceAnchor(ctx context.Context, o anchorOptions) (err error) {
	s, err := a.open(ctx, nil, action.SystemSecrets(), nil)
	if err != nil {
		return err
	}
	defer func() { err = s.close(err) }()
	archive, err := a.upToDate(ctx, s)
	if err != nil {
		return err
	}
	a.tellUnsealed()
	anchor, err := archive.Anchor()
	if err != nil {
		return err
	}
	doc := anchorDocument{1, anchor.String(), anchor, []string{}}
	if o.git != "" {
		where, err := anchorInGit(ctx, o.git, anchor, o.tag)
		if err != nil {
			return err
		}
		doc.Kept = append(doc.Kept, where)
	}
	if o.bucket != "" {
		where, err := a.anchorInBucket(ctx, o, anchor)
		if err != nil {
			return err
		}
		doc.Kept = append(doc.Kept, where)
	}
	if a.global.json {
		return a.printJSON(doc)
	}
	if o.print {
		a.out.Text(doc.Line)
	}
	for _, where := range doc.Kept {
		a.out.Line(term.Plain, "anchored", fmt.Sprintf("entry %d: %s", anchor.Sequence, where))
	}
	return nil
}

// anchorsFile is the file of a git repository that anchors are appended to.
const anchorsFile = "firedrill-anchors.txt"

// anchorTags is where tags that are anchors lie.
const anchorTags = "firedrill-anchor/"

func anchorInGit(ctx context.Context, dir string, anchor evidence.Anchor, tag bool) (string, error) {
	words := fmt.Sprintf("Evidence of drills: entry %d of %s", anchor.Sequence, short(anchor.Key))
	if tag {
		name := fmt.Sprintf("%s%s/%d", anchorTags, short(anchor.Key), anchor.Sequence)
		if had, err := git(ctx, dir, "for-each-ref", "--format=%(contents:body)", "refs/tags/"+name); err != nil {
			return "", err
		} else if known, err := evidence.ParseAnchors(had); err == nil && len(known) > 0 && known[0].Head == anchor.Head {
			return "tag " + name + ", as before", nil
		}
		_, err := git(ctx, dir, "tag", "--annotate", "--cleanup=verbatim", "--message", words+"\n\n"+anchor.String()+"\n", name)
		return "tag " + name + "; push it: git push origin " + name, err
	}
	top, err := git(ctx, dir, "rev-parse", "--show-toplevel")
	if err != nil {
		return "", err
	}
	file := filepath.Join(strings.TrimSpace(top), anchorsFile)
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // it is for all to see
	if err == nil {
		_, err = f.WriteString(anchor.String() + "\n")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return "", &firedrill.Error{Op: "anchor the evidence", Kind: firedrill.KindStorage, Target: file, Err: err, Remedy: "name a repository that can be written"}
	}
	if _, err := git(ctx, filepath.Dir(file), "add", "--", anchorsFile); err != nil {
		return "", err
	}
	if _, err := git(ctx, filepath.Dir(file), "commit", "--quiet", "--only", "--message", words, "--", anchorsFile); err != nil {
		return "", err
	}
	head, err := git(ctx, dir, "rev-parse", "--short", "HEAD")
	return "commit " + strings.TrimSpace(head) + " in " + dir + "; push it", err
}

// git runs git in a repository and gives what it prints.
func git(ctx context.Context, dir string, arguments ...string) (string, error) {
	c := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, arguments...)...)
	var out, said bytes.Buffer
	c.Stdout, c.Stderr = &out, &said
	if err := c.Run(); err != nil {
		detail, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
		if detail == "" {
			detail = err.Error()
		}
		return "", &firedrill.Error{Op: "git " + arguments[0], Kind: firedrill.KindStorage, Target: dir, Detail: detail, Remedy: "name a git repository in which you can commit"}
	}
	return out.String(), nil
}

func (a *app) anchorInBucket(ctx context.Context, o anchorOptions, anchor evidence.Anchor) (string, error) {
	b, err := a.bucket(o.bucket)
	if err != nil {
		return "", err
	}
	defer b.Close()
	until := a.Now().Add(time.Duration(o.keep)).UTC()
	name := fmt.Sprintf("%s-%08d-%d.txt", short(anchor.Key), anchor.Sequence, anchor.At.Unix())
	if err := b.WriteLocked(ctx, name, []byte(anchor.String()+"\n"), until); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s/%s, locked until %s", b, name, until.Format(time.DateOnly)), nil
}

// anchorsFrom reads anchors: a line, a file of lines, a git repository, a bucket.
func (a *app) anchorsFrom(ctx context.Context, from string) ([]evidence.Anchor, error) {
	text, err := a.anchorText(ctx, from)
	if err != nil {
		return nil, err
	}
	found, err := evidence.ParseAnchors(text)
	if err == nil && len(found) == 0 {
		err = usage("there is no anchor in "+from, "see: firedrill evidence anchor --help")
	}
	return found, err
}

func (a *app) anchorText(ctx context.Context, from string) (string, error) {
	if strings.HasPrefix(from, "firedrill-anchor ") {
		return from, nil
	}
	if strings.HasPrefix(from, bucketScheme) {
		b, err := a.bucket(from)
		if err != nil {
			return "", err
		}
		defer b.Close()
		// Every version counts: a newer one hides nothing.
		files, err := b.Versions(ctx)
		return string(bytes.Join(files, []byte("\n"))), err
	}
	info, err := os.Stat(from)
	if err != nil {
		return "", &firedrill.Error{Op: "read the anchors", Kind: firedrill.KindUsage, Target: "--anchor " + from, Err: err, Remedy: "give the line itself, a file, a git repository or s3://…"}
	}
	if info.IsDir() {
		return anchorsInGit(ctx, from)
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return "", &firedrill.Error{Op: "read the anchors", Kind: firedrill.KindStorage, Target: from, Err: err}
	}
	return string(data), nil
}

// anchorsInGit reads what was committed and tagged; what only lies in the folder does
// not count.
func anchorsInGit(ctx context.Context, dir string) (string, error) {
	tags, err := git(ctx, dir, "for-each-ref", "--format=%(contents:body)", "refs/tags/"+anchorTags)
	if err != nil {
		return "", err
	}
	committed, err := git(ctx, dir, "show", "HEAD:"+anchorsFile)
	if err != nil && strings.TrimSpace(tags) != "" {
		return tags, nil // tags alone
	}
	return tags + "\n" + committed, err
}
