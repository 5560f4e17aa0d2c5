-- Writes what rows came to. ARGV: how long facts and ended rows are kept; then for each: id of this end,
-- delivery, workspace, subject, state, whether it has ended, attempts, begun, due, at, reason, fact ('' for none).
local p, kept_ms = KEYS[1], ARGV[1]
local beyond_ms = string.format('%.0f', tonumber(kept_ms) + BEYOND_MS)
local lanes = {}
for i = 2, #ARGV, 12 do
  local key, delivery, at = p .. ':d:' .. ARGV[i + 1], ARGV[i + 1], ARGV[i + 9]
  local row = redis.call('HMGET', key, 's', 'a', 'f', 'w', 'g', 't')
  local open = row[1] == 'queued' or row[1] == 'sending'
  if open and tonumber(row[2]) == tonumber(ARGV[i + 7]) and row[3] ~= ARGV[i] then
    local lane = row[5]
    if ARGV[i + 5] == '1' then
      redis.call('HSET', key, 's', ARGV[i + 4], 'a', ARGV[i + 6], 'l', '', 'n', 0, 'f', ARGV[i], 'r', ARGV[i + 10],
        'e', at)
      redis.call('ZREM', p .. ':rt:' .. lane, delivery)
      if ARGV[i + 4] == 'dead_letter' then
        redis.call('ZADD', p .. ':dlq', at, delivery)
        redis.call('PEXPIRE', p .. ':dlq', beyond_ms)
        redis.call('ZREMRANGEBYSCORE', p .. ':dlq', '-inf', string.format('%.0f', tonumber(at) - tonumber(kept_ms)))
      end
      redis.call('PEXPIRE', key, kept_ms)
      -- The customer's list outlives the row, so that an erasure finds it. Mostly it does since the decision.
      if row[4] and tonumber(at) - tonumber(row[6] or 0) > BEYOND_MS / 2 then
        redis.call('PEXPIRE', p .. ':du:' .. row[4], beyond_ms)
      end
    else
      redis.call('HSET', key, 's', ARGV[i + 4], 'a', ARGV[i + 6], 'l', '', 'n', 0, 'f', ARGV[i], 'r', ARGV[i + 10])
      redis.call('ZADD', p .. ':rt:' .. lane, ARGV[i + 8], delivery)
    end
    lanes[lane] = true
    if ARGV[i + 11] ~= '' then append_fact(p, ARGV[i + 2], ARGV[i + 3], '', ARGV[i + 11], tonumber(kept_ms)) end
  end
end
for lane in pairs(lanes) do look_at_lane(p, lane) end
return 1
