-- Takes back attempts that were begun and are not made. ARGV: delivery, attempt, lease for each. A begin that comes later
-- finds its lease gone. Answers when the partition's next row is due.
local p = KEYS[1]
for i = 1, #ARGV, 3 do
  local key, attempt = p .. ':d:' .. ARGV[i], tonumber(ARGV[i + 1])
  local row = redis.call('HMGET', key, 's', 'a', 'l', 'z', 'd', 'g')
  if (row[1] == 'queued' or row[1] == 'sending') and row[3] == ARGV[i + 2] then
    if row[1] == 'sending' and tonumber(row[2]) == attempt and row[4] then
      redis.call('HSET', key, 's', row[4], 'a', attempt - 1)
    end
    redis.call('HSET', key, 'l', '', 'n', 0)
    wait_in(p, row[6], string.format('%.0f', tonumber(row[5]) + 1000), ARGV[i])
  end
end
return redis.call('ZRANGE', p .. ':rt', 0, 0, 'WITHSCORES')[2] or ''
