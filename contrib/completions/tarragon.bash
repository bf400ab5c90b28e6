# Made by core/tools/make_pages.py from the tables of the program; change those.
# bash completion of tarragon; source it, or put it where bash-completion looks.

_tarragon_profiles() {
    sed -n 's/^\[profile\.\([A-Za-z0-9_-]*\)\]$/@\1/p' \
        "${XDG_CONFIG_HOME:-$HOME/.config}/tarragon/config.toml" 2>/dev/null
}

_tarragon() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev="" word
    ((COMP_CWORD > 0)) && prev=${COMP_WORDS[COMP_CWORD - 1]}
    if [[ $cur == "=" ]]; then cur=""; fi
    if [[ $prev == "=" ]]; then prev=${COMP_WORDS[COMP_CWORD - 2]}; fi
    COMPREPLY=()
    case $prev in
        --log-file|--path-to-restore|-r|--file-changed|--archive-dir|--config-dir|--tempdir|--passphrase-file|--sign-passphrase-file|--backend-password-file|--encrypt-secret-keyring|--gpg-binary|--idr-fakeroot|--source|--include-filelist|--exclude-filelist|--exclude-if-present|--files-from|--ssl-cacert-file|--ssl-cacert-path)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            return ;;
        --metadata-sync-mode)
            mapfile -t COMPREPLY < <(compgen -W "full partial" -- "$cur")
            return ;;
        --verbosity|-v|--log-fd|--full-if-older-than|--full-if-n-inc|--volsize|--concurrency|--executor|--copy-blocksize|--max-blocksize|--restore-time|-t|--time|--rename|--show-changes-in-set|--time-separator|--name|--file-prefix|--file-prefix-archive|--file-prefix-manifest|--file-prefix-signature|--file-prefix-jsonstat|--num-retries|--backend-retry-delay|--timeout|--stats|--lock-wait|--limit-upload|--limit-download|--passphrase-fd|--passphrase-command|--sign-passphrase-fd|--sign-passphrase-command|--backend-password-fd|--backend-password-command|--azure-blob-tier|--azure-max-block-size|--azure-max-connections|--azure-max-single-put-size|--sample|--cf-backend|--encrypt-key|--hidden-encrypt-key|--sign-key|--encrypt-sign-key|--gpg-options|--imap-mailbox|--par2-options|--par2-redundancy|--par2-volumes|--keep-last|--keep-daily|--keep-weekly|--keep-monthly|--keep-yearly|--keep-within|--pin|--unpin|--rehearse-versions|--rehearse-files|--seed|--rsync-options|--s3-endpoint-url|--s3-kms-grant|--s3-kms-key-id|--s3-multipart-chunk-size|--s3-multipart-max-procs|--s3-region-name|--include|--exclude|--include-regexp|--exclude-regexp|--exclude-older-than|--scp-command|--sftp-command|--ssh-options|--progress-rate|--mp-segment-size|--swift-storage-policy|--webdav-headers)
            return ;;
    esac
    case $cur in
        -*)
            mapfile -t COMPREPLY < <(compgen -W "--verbosity -v --version -V --log-fd --log-file --log-timestamp --dry-run --full-if-older-than --full-if-n-inc --skip-if-no-change --allow-source-mismatch --volsize --concurrency --executor --asynchronous-upload --copy-links --copy-blocksize --max-blocksize --files-changed --no-files-changed --compression --no-compression --verify-volumes --path-to-restore -r --restore-time -t --time --rename --numeric-owner --restore-ownership --no-restore-ownership --ignore-errors --compare-data --file-changed --show-changes-in-set --force --time-separator --name --archive-dir --config-dir --tempdir --file-prefix --file-prefix-archive --file-prefix-manifest --file-prefix-signature --file-prefix-jsonstat --metadata-sync-mode --check-remote --no-check-remote --encryption --no-encryption --num-retries --backend-retry-delay --timeout --stats --lock-wait --limit-upload --limit-download --compat-exit --passphrase-file --passphrase-fd --passphrase-command --sign-passphrase-file --sign-passphrase-fd --sign-passphrase-command --backend-password-file --backend-password-fd --backend-password-command --json --help -h --help-urls --help-backup --help-full --help-inc --help-verify --help-restore --help-cleanup --help-collection-status --help-list-current-files --help-remove-all-but-n-full --help-remove-all-inc-of-but-n-full --help-remove-older-than --azure-blob-tier --azure-max-block-size --azure-max-connections --azure-max-single-put-size --b2-hide-files --quick --sample --full --cf-backend --encrypt-key --hidden-encrypt-key --sign-key --encrypt-sign-key --encrypt-secret-keyring --gpg-binary --gpg-options --use-agent --use-gpgsm --idr-fakeroot --imap-full-address --imap-mailbox --ftp-passive --ftp-regular --mf-purge --par2-options --par2-redundancy --par2-volumes --keep-last --keep-daily --keep-weekly --keep-monthly --keep-yearly --keep-within --pin --unpin --rehearse-versions --rehearse-files --source --seed --rsync-options --s3-endpoint-url --s3-kms-grant --s3-kms-key-id --s3-multipart-chunk-size --s3-multipart-max-procs --s3-region-name --s3-unencrypted-connection --s3-use-server-side-encryption --s3-use-server-side-kms-encryption --s3-use-deep-archive --s3-use-glacier --s3-use-glacier-ir --s3-use-ia --s3-use-onezone-ia --s3-use-rrs --include --exclude --include-filelist --exclude-filelist --include-regexp --exclude-regexp --exclude-device-files --exclude-if-present --exclude-older-than --exclude-other-filesystems --filter-globbing --filter-literal --filter-regexp --filter-ignorecase --filter-strictcase --files-from --null-separator --scp-command --sftp-command --ssh-askpass --ssh-options --print-statistics --no-print-statistics --jsonstat --progress --progress-rate --mp-segment-size --swift-storage-policy --ssl-cacert-file --ssl-cacert-path --ssl-no-check-certificate --webdav-headers" -- "$cur")
            return ;;
        @*)
            mapfile -t COMPREPLY < <(compgen -W "$(_tarragon_profiles)" -- "$cur")
            return ;;
    esac
    local action=""
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $word in
            backup|full|incremental|restore|verify|list-current-files|collection-status|cleanup|remove-older-than|remove-all-but-n-full|remove-all-inc-of-but-n-full|check|accept-loss|config|explain|prune|rehearse|plugins|bu|fb|ib|inc|incr|rb|vb|ls|st|cl|ro|ra|ri) action=$word; break ;;
        esac
    done
    if [[ -z $action ]]; then
        mapfile -t COMPREPLY < <(compgen -W "backup full incremental restore verify list-current-files collection-status cleanup remove-older-than remove-all-but-n-full remove-all-inc-of-but-n-full check accept-loss config explain prune rehearse plugins" -- "$cur")
    fi
    if [[ -n $action || ${#COMPREPLY[@]} -eq 0 ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}

complete -F _tarragon tarragon
