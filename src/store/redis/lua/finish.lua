-- Writes what rows came to. ARGV: how long facts and ended rows are kept; then for each: id of this end,
-- delivery, workspace, subject, state, whether it has ended, attempts, begun, due, at, reason, fact ('' for none).
local p, kept_ms = KEYS[1], ARGV[1]
local beyond_ms = string.format('%.0f', tonumber(kept_ms) + BEYOND_MS)
for i = 2, #ARGV, 12 do
  local key, delivery = p .. ':d:' .. ARGV[i + 1], ARGV[i + 1]
  local row = redis.call('HMGET', key, 's', 'a', 'f', 'w', 'g')
  local open = row[1] == 'queued' or row[1] == 'sending'
  if open and tonumber(row[2]) == tonumber(ARGV[i + 7]) and row[3] ~= ARGV[i] then
    redis.call('HSET', key, 's', ARGV[i + 4], 'a', ARGV[i + 6], 'l', '', 'n', 0, 'f', ARGV[i], 'r', ARGV[i + 10])
    if ARGV[i + 5] == '1' then
      redis.call('HSET', key, 'e', ARGV[i + 9])
      wait_no_more(p, row[5], delivery)
      if ARGV[i + 4] == 'dead_letter' then
        redis.call('ZADD', p .. ':dlq', ARGV[i + 9], delivery)
        redis.call('PEXPIRE', p .. ':dlq', beyond_ms)
        redis.call('ZREMRANGEBYSCORE', p .. ':dlq', '-inf', string.format('%.0f', tonumber(ARGV[i + 9]) - tonumber(kept_ms)))
      end
      redis.call('PEXPIRE', key, kept_ms)
      -- The customer's list outlives the row, so that an erasure finds it.
      if row[4] then redis.call('PEXPIRE', p .. ':du:' .. row[4], beyond_ms) end
    else
      wait_in(p, row[5], ARGV[i + 8], delivery)
    end
    if ARGV[i + 11] ~= '' then append_fact(p, ARGV[i + 2], ARGV[i + 3], '', ARGV[i + 11], tonumber(kept_ms)) end
  end
end
return 1
