#!/bin/bash
# OpenSSH server: sftp, scp, shell.  As root it has these users, each with the password tbpass and both client keys:
#   tbuser  everything                          tbkeep  sftp that can neither rename nor remove
#   tbfull  a home of 4 MB (a tmpfs)            tbtwo   needs a key and then the password
# They exist only inside a private mount namespace (own /etc/passwd, shadow, group); nothing is added to the machine.
# Not root: key login as yourself only.  Every parent of DIR must be searchable by others (no 0700).
#   TB_SFTP=PROGRAM    another sftp server           TB_SSHD_LINES=TEXT   more lines of sshd_config
# needs: apt-get install openssh-server openssh-sftp-server openssl
. "$(dirname "$0")/lib.sh"
case $ACT in
start)
    export PATH=$PATH:/usr/sbin:/sbin; need sshd ssh-keygen openssl; SSHD=$(command -v sshd)
    U=$(id -un); R=; mkdir -p "$D/home"; chmod 755 "$D"
    for k in host client; do [ -f "$D/$k" ] || ssh-keygen -q -t ed25519 -N '' -f "$D/$k"; done
    [ -f "$D/rsa" ] || ssh-keygen -q -t rsa -b 3072 -m PEM -N '' -f "$D/rsa"
    [ -f "$D/locked" ] || ssh-keygen -q -t ed25519 -N 'key phrase' -f "$D/locked"
    cat "$D/client.pub" "$D/rsa.pub" "$D/locked.pub" >"$D/authorized_keys"; chmod 644 "$D/authorized_keys"
    echo "[$HOST]:$P $(cut -d' ' -f1,2 "$D/host.pub")" >"$D/known_hosts"
    if [ "$(id -u)" = 0 ]; then
        U=tbuser; mkdir -p /run/sshd
        for f in passwd group shadow; do cat "/etc/$f" >"$D/$f"; done; chmod 600 "$D/shadow"
        PW=$(openssl passwd -6 tbpass); N=39999
        for u in tbuser tbkeep tbfull tbtwo; do
            H=$D/home; [ $u = tbuser ] || H=$D/home-$u; mkdir -p "$H"
            echo "$u:x:$N:39999::$H:/bin/bash" >>"$D/passwd"; echo "$u:$PW:19000:0:99999:7:::" >>"$D/shadow"
            chown $N:39999 "$H"; N=$((N + 1))
        done
        echo "tbuser:x:39999:" >>"$D/group"
        R="unshare -m sh -c 'for f in passwd group shadow; do mount --bind $D/\$f /etc/\$f || exit 1; done
            mount -t tmpfs -o size=4m,mode=777 none $D/home-tbfull || exit 1; exec \"\$@\"' sh"
    fi
    cat >"$D/sshd_config" <<C
ListenAddress $HOST:$P
HostKey $D/host
PidFile none
AuthorizedKeysFile $D/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication yes
KbdInteractiveAuthentication no
MaxStartups 100
Subsystem sftp ${TB_SFTP:-internal-sftp}
LogLevel VERBOSE
${TB_SSHD_LINES:-}
Match User tbkeep
    ForceCommand internal-sftp -P remove,rename,posix-rename,hardlink,rmdir
Match User tbtwo
    AuthenticationMethods publickey,password
C
    eval "bg sshd $R $SSHD -D -e -f '$D/sshd_config'"
    wait_port "$P"
    env_out TB_SSH_HOST=$HOST TB_SSH_PORT="$P" TB_SSH_USER="$U" TB_SSH_PASSWORD=tbpass TB_SSH_KEY="$D/client" \
        TB_SSH_RSA_KEY="$D/rsa" TB_SSH_LOCKED_KEY="$D/locked" TB_SSH_KNOWN_HOSTS="$D/known_hosts" TB_SSH_HOME="$D/home" ;;
stop) stop_all ;;
esac
