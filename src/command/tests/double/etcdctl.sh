# What a person types who uses etcdctl 3.4. It is run against an empty double and against an empty real etcd with the same quota;
# what it prints must be the same but for ids, addresses, sizes and times. ETCDCTL_ENDPOINTS names the server.
export ETCDCTL_API=3

# Runs a command and shows what it prints, refusals too, without the client's own log.
run() {
    printf '$ %s\n' "$*"
    timeout 30 "$@" 2>&1 </dev/null | grep -av '^{"level"'
    [ "${PIPESTATUS[0]}" -eq 0 ] || printf '[failed]\n'
}

# Waits until a file has so many lines.
lines() {
    for _ in $(seq 500); do
        [ "$(wc -l <"$1")" -lt "$2" ] || return 0
        sleep 0.02
    done
    printf 'no %s lines in time\n' "$2"
}

run etcdctl endpoint health
run etcdctl endpoint status
run etcdctl member list
run etcdctl member list -w fields

# Keys.
run etcdctl put a 1
run etcdctl put a 2 --prev-kv
run etcdctl put b 1
run etcdctl put dir/x 1
run etcdctl put dir/y 2
run etcdctl put dir/z 3
run etcdctl get a
run etcdctl get a --rev 2
run etcdctl get a --rev 100
run etcdctl get missing
run etcdctl get dir/ --prefix --order DESCEND --sort-by KEY --limit 2
run etcdctl get dir/ --prefix --keys-only
run etcdctl get dir/ --prefix --keys-only -w fields
run etcdctl get a z
run etcdctl get b --from-key --print-value-only
run etcdctl get a -w json
run etcdctl put missing --ignore-value
run etcdctl put '' nothing
run etcdctl del dir/x --prev-kv
run etcdctl del dir/ --prefix
run etcdctl del dir/ --prefix
run etcdctl endpoint hashkv

# A transaction, well put and badly put.
printf 'value("a") = "2"\n\nput c txn\nget c\n\nget a\n\n' >txn
printf '$ etcdctl txn\n'
etcdctl txn <txn 2>&1
printf '$ etcdctl txn\n'
etcdctl txn <txn 2>&1
printf 'version("a") > "100"\n\nput d 1\n\nget a\n\n' | etcdctl txn 2>&1
printf '\n\nput d 1\nput d 2\n\n\n' | etcdctl txn 2>&1 | grep -v '^{"level"'

# Watches.
touch watched
etcdctl watch --prefix w/ --prev-kv >watched 2>&1 &
watch=$!
# Whoever watches from the first revision on hears of everything, however late it comes.
run etcdctl put w/0 0
run timeout 10 etcdctl watch w/0 --rev 1 -- sh -c 'echo "$ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY"; kill -INT $PPID'
kill "$watch"
wait "$watch" 2>/dev/null
etcdctl watch --prefix w/ --prev-kv --rev 1 >watched 2>&1 &
watch=$!
run etcdctl put w/1 1
run etcdctl put w/1 2
run etcdctl del w/1
lines watched 14
kill "$watch"
wait "$watch" 2>/dev/null
printf '[watched]\n'
cat watched

# Compaction.
run etcdctl compaction 5
run etcdctl compaction 5 --physical
run etcdctl compaction 1000
run etcdctl get a --rev 3
run timeout 10 etcdctl watch a --rev 2
run etcdctl endpoint hashkv

# Leases.
run etcdctl lease list
lease=$(etcdctl lease grant 300 | cut -d' ' -f2)
run etcdctl lease grant 0
run etcdctl lease grant 9000000001
run etcdctl put leased 1 --lease="$lease"
run etcdctl put leased 1 --lease=404
run etcdctl lease keep-alive --once "$lease"
run etcdctl lease timetolive "$lease" --keys
run etcdctl lease timetolive 404
run etcdctl get leased -w fields
run etcdctl lease revoke "$lease"
run etcdctl lease revoke "$lease"
run etcdctl lease keep-alive --once "$lease"
run etcdctl get leased
short=$(etcdctl lease grant 2 | cut -d' ' -f2)
run etcdctl put short 1 --lease="$short"
timeout -s INT 4 etcdctl lease keep-alive "$short" >kept 2>&1
run etcdctl get short
# Nobody renews it any more: whoever watches it sees it go.
run timeout 20 etcdctl watch short -- sh -c 'echo "$ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY"; kill -INT $PPID'
run etcdctl lease timetolive "$short"
# Every lease has ended, and nothing will go into the log by itself.
run etcdctl endpoint status

# Locks and elections, which are keys with leases.
run etcdctl lock mutex echo locked
run timeout -s INT 2 etcdctl lock mutex
run etcdctl lock mutex echo 'locked again'
run timeout -s INT 2 etcdctl elect election one
run etcdctl get election --prefix

# What people ask who run an etcd.
run etcdctl alarm list
run etcdctl alarm disarm
run etcdctl defrag
run etcdctl move-leader 4d2
run etcdctl member remove 4d2
run etcdctl member update 4d2 --peer-urls=http://127.0.0.1:1
run etcdctl member promote 4d2
run etcdctl member add other --peer-urls=nonsense
member=$(etcdctl member list | cut -d, -f1)
run etcdctl move-leader "$member"
run etcdctl member remove "$member"
run etcdctl member promote "$member"
run etcdctl auth enable
run etcdctl auth disable
run etcdctl user list
run etcdctl user get somebody
run etcdctl user delete somebody
run etcdctl user grant-role somebody role
run etcdctl role list
run etcdctl role get role
run etcdctl role grant-permission role read a
run etcdctl --user somebody:password get a
run etcdctl endpoint health

# Its database is filled: how much that takes is its own business.
head -c 500000 /dev/zero | tr '\0' x >large
for _ in $(seq 100); do
    etcdctl put large <large >/dev/null 2>&1 || break
done
printf '$ etcdctl put large\n'
etcdctl put large <large 2>&1 | grep -v '^{"level"'
run etcdctl alarm list
run etcdctl put small 1
run etcdctl lease grant 10
etcdctl endpoint status -w fields | grep '^"Errors"'
run etcdctl get small
run etcdctl del large
revision=$(etcdctl get a -w fields | sed -n 's/^"Revision" : //p')
etcdctl compaction "$revision" --physical >/dev/null
run etcdctl defrag
run etcdctl put small 1
run etcdctl alarm disarm
run etcdctl put small 1
run etcdctl alarm list
