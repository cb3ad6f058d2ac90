package cli

import (
	"github.com/spf13/cobra"
)

func (a *app) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "completion bash|zsh|fish|powershell", Short: "Completion for your shell",
		Example: `  source <(firedrill completion bash)
  firedrill completion zsh > "${fpath[1]}/_firedrill"`,
		Args: args(1, 1, "one shell"), ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(c *cobra.Command, given []string) error {
			root := c.Root()
			switch given[0] {
			case "bash":
				return root.GenBashCompletionV2(a.Stdout, true)
			case "zsh":
				return root.GenZshCompletion(a.Stdout)
			case "fish":
				return root.GenFishCompletion(a.Stdout, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.Stdout)
			}
			return usage("no completion for shell "+given[0], "one of bash, zsh, fish, powershell")
		},
	}
}
