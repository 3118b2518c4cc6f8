package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/destseg/destseg/teacher"
)

type fetchOptions struct {
	url    string // of a mirror
	force  bool
	source teacher.Source
}

func newTeacherFetch(c *console, imagenet teacher.Source) *cobra.Command {
	o := fetchOptions{source: imagenet}
	command := &cobra.Command{
		Use:   "fetch",
		Short: "Downloads the teacher imagenet, torchvision's ResNet-18",
		Long: fmt.Sprintf(`fetch downloads torchvision's ResNet-18 (IMAGENET1K_V1, %s) from

  %s

and checks its SHA-256. What a teacher needs of it stays in the user's cache
folder, on Linux ~/.cache/destseg; from then on train --teacher imagenet finds it,
without a network.

A proxy is taken from the environment: HTTPS_PROXY, HTTP_PROXY, NO_PROXY. What an
interrupted download has brought is kept, and the same command goes on from
there. On a machine without a network, bring the file there by other means and
run destseg teacher import.

The network was trained on ImageNet, whose pictures come under terms for
research; check these before you sell a product that uses it.`, formatBytes(imagenet.Size), imagenet.URL),
		Example: `  destseg teacher fetch
  destseg teacher fetch --url https://mirror.example/resnet18-f37072fd.pth`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			return o.run(command.Context(), c)
		},
	}
	f := command.Flags()
	f.SortFlags = false
	f.StringVar(&o.url, "url", "", "`URL` of the same file on a mirror")
	f.BoolVar(&o.force, "force", false, "download it again, from the first byte, though it is there")
	return command
}

func (o fetchOptions) run(ctx context.Context, c *console) error {
	if err := checkURL(o.url); err != nil {
		return err
	}
	cache, err := teacher.UserCache(o.source)
	if err != nil {
		return err
	}
	if !o.force {
		switch _, err := cache.Load(); {
		case err == nil:
			c.note("the teacher imagenet is there already; --force downloads it again")
			fmt.Fprint(c.out, formatList(cachedRows(cache)))
			return nil
		case !errors.Is(err, teacher.ErrNotFetched):
			return err
		}
	}
	if err := o.fetch(ctx, c, cache); err != nil {
		return err
	}
	fmt.Fprint(c.out, formatList(cachedRows(cache)))
	return nil
}

// checkURL refuses what is no address of a file on a server; empty is fine.
func checkURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return wrongUsage("--url: expected an address such as https://mirror.example/resnet18-f37072fd.pth")
	}
	return nil
}

// fetch downloads the file and shows how it goes.
func (o fetchOptions) fetch(ctx context.Context, c *console, cache teacher.Cache) error {
	if info, err := os.Stat(cache.Partial()); err == nil && info.Size() > 0 && !o.force {
		c.note("going on from %s%s", cache.Partial(), fileSize(cache.Partial()))
	}
	m := c.bytesMeter(teacher.ImageNet, o.source.Size)
	defer m.close()
	var begun time.Time
	var first, last int64
	err := cache.Fetch(ctx, teacher.Fetching{
		URL: o.url, Fresh: o.force,
		Progress: func(done, total int64) {
			if begun.IsZero() || done < last { // a server without ranges begins anew
				begun, first = time.Now(), done
			}
			last = done
			var details []string
			if seconds := time.Since(begun).Seconds(); seconds > 1 && done > first {
				speed := float64(done-first) / seconds
				left := time.Duration(float64(total-done) / speed * float64(time.Second))
				details = []string{formatTime(left) + " left", formatBytes(int64(speed)) + "/s"}
			}
			m.update(int(done), details...)
		},
		Retry: func(err error, wait time.Duration) {
			again := "trying again in " + formatTime(wait)
			if wait == 0 {
				again = "downloading all of it again"
			}
			m.note("%s; %s", explain(err), again)
		},
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return interruptedFetch(cache)
	}
	return o.advised(err)
}

// interruptedFetch is the error of a download that the user ended.
func interruptedFetch(cache teacher.Cache) error {
	info, err := os.Stat(cache.Partial())
	if err != nil || info.Size() == 0 {
		return errInterrupted
	}
	return fmt.Errorf("%w after %s of %s; the same command goes on from %s", errInterrupted,
		formatBytes(info.Size()), formatBytes(cache.Source.Size), cache.Partial())
}

// advised adds to an error of the net what can be done.
func (o fetchOptions) advised(err error) error {
	var lines []string
	switch {
	case errors.Is(err, teacher.ErrUnreachable):
		lines = append(lines, "Is there a network? If it is reached through a proxy, name that in "+o.proxyVariable()+".")
	case errors.Is(err, teacher.ErrBroken):
		lines = append(lines, "The same command goes on from there.")
	case errors.Is(err, teacher.ErrOther) && o.url != "":
		lines = append(lines, "Try without --url.")
	case !errors.Is(err, teacher.ErrRefused) && !errors.Is(err, teacher.ErrOther):
		return err
	}
	lines = append(lines, fmt.Sprintf("Or download %s elsewhere, bring the file here, and run destseg teacher import %s", o.source.URL, o.source.File()))
	return fmt.Errorf("%w\n%s", err, strings.Join(lines, "\n"))
}

// proxyVariable names the variable that has the proxy, and whether it is set. Its
// value may hold a password.
func (o fetchOptions) proxyVariable() string {
	name := "HTTPS_PROXY"
	if strings.HasPrefix(o.url, "http:") {
		name = "HTTP_PROXY"
	}
	if os.Getenv(name) == "" && os.Getenv(strings.ToLower(name)) == "" {
		return name + ", which is not set"
	}
	return name + ", which is set"
}

// cachedRows tells of the teacher in the cache.
func cachedRows(cache teacher.Cache) [][2]string {
	return [][2]string{
		{"teacher", "imagenet"},
		{"file", cache.Path() + fileSize(cache.Path())},
		{"made from", cache.Source.File()},
		{"", "SHA-256 " + cache.Source.Digest},
		{"next", "destseg train DATA --teacher imagenet"},
	}
}
