# SPDX-License-Identifier: GPL-2.0
#
# Completion of kvm-hpt for bash

_kvm_hpt()
{
	local current=${COMP_WORDS[COMP_CWORD]}
	local previous=${COMP_WORDS[COMP_CWORD - 1]}
	local stream='--order --endian --snapshot --offset --json --color --help'
	local hptes='--index --vsid --real --bolted --raw --v3'
	local commands='watch list dump decode check find diff map save'
	local words=

	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		words="$commands help --help --version"
	elif [ "$previous" = --endian ] || [ "$previous" = -E ]; then
		words='little big'
	elif [ "$previous" = --color ] || [ "$previous" = -c ]; then
		words='always never auto'
	elif [[ $current == -* ]]; then
		case ${COMP_WORDS[1]} in
		watch) words='--json --color --interval --count --wait --help' ;;
		list) words="$stream" ;;
		dump | decode) words="$stream $hptes" ;;
		check) words="$stream --start --later --max --no-hash --progress" ;;
		find) words="$stream --vsid --ea --1t --raw --v3" ;;
		diff) words="$stream --ignore-rc --raw --v3" ;;
		map) words="$stream --output --before" ;;
		save) words='--output --help' ;;
		esac
	elif [ "${COMP_WORDS[1]}" = watch ] || [ "${COMP_WORDS[1]}" = save ]; then
		words=$(pgrep qemu 2>/dev/null)
	elif [ "${COMP_WORDS[1]}" = help ]; then
		words=$commands
	else
		# Files
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		return
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -o filenames -F _kvm_hpt kvm-hpt
