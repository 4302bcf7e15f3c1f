import type { Command } from 'commander';

/** A script that completes commands and options in bash, and in zsh after `autoload bashcompinit && bashcompinit`. */
export function completionScript(program: Command): string {
  const cases = program.commands.map((command) => {
    const words = [
      ...command.commands.map((each) => each.name()),
      ...command.options.flatMap(({ long }) => long ?? []),
      '--help',
    ];
    return `    ${command.name()}) words="${words.join(' ')}" ;;`;
  });
  const names = program.commands.map((command) => command.name());
  return `_worker_service() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words
  case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
    *) words="${names.join(' ')} --help --version" ;;
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then words="${names.join(' ')} --help --version"; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _worker_service worker-service
`;
}
