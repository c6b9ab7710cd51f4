# What build.sh and lock.sh know of the locks: which entries are torch and what it brings along to run
# on a GPU. They are what differs between the builds of torch; envs/requirements.txt has all the others.
torch_names='^(torch|torchvision|triton|cuda-[a-z0-9-]+|nvidia-[a-z0-9-]+)=='

torch_part() { # the entries of torch in the lock $1, with their hashes
    awk -v names="$torch_names" '/^[a-z]/ { on = $0 ~ names } on' "$1"
}

other_part() { # all others
    awk -v names="$torch_names" '/^[a-z]/ { off = $0 ~ names } !off' "$1"
}

entries_beside() { # the entries of the lock $2 whose package is not in the lock $1, with their hashes
    awk 'FNR == NR { if (/^[a-z]/) { split($0, part, "=="); known[part[1]] = 1 } next }
         /^[a-z]/ { split($0, part, "=="); on = !(part[1] in known) } on' "$1" "$2"
}
