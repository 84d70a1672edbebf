# SPDX-License-Identifier: GPL-2.0
#
# Completion of kvm-hpt for bash

_kvm_hpt()
{
	local current=${COMP_WORDS[COMP_CWORD]}
	local previous=${COMP_WORDS[COMP_CWORD - 1]}
	local stream='--order --endian --snapshot --json --color --help'
	local hptes='--index --vsid --real --bolted --raw --v3'
	local words=

	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		words='watch dump decode check diff map --help'
	elif [ "$previous" = --endian ] || [ "$previous" = -E ]; then
		words='little big'
	elif [ "$previous" = --color ] || [ "$previous" = -c ]; then
		words='always never auto'
	elif [[ $current == -* ]]; then
		case ${COMP_WORDS[1]} in
		watch) words='--json --color --interval --count --wait --help' ;;
		dump | decode) words="$stream $hptes" ;;
		check) words="$stream --start --later --max --no-hash" ;;
		diff) words="$stream --ignore-rc --raw --v3" ;;
		map) words="$stream --output --before" ;;
		esac
	elif [ "${COMP_WORDS[1]}" = watch ]; then
		words=$(pgrep qemu 2>/dev/null)
	else
		# Files
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		return
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -o filenames -F _kvm_hpt kvm-hpt
