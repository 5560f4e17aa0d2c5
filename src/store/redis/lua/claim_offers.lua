-- Gives deliveries their offers. ARGV, for each: delivery, subject, campaign, most that the campaign may give or nothing,
-- where the code comes from (`none`, `generated`, `pool`), the code or the pool, the offer, when it is claimed, when it
-- ends, until when it is remembered. Answers for each `granted` and its code, `budget`, `empty` or `taken`.
local p = KEYS[1]
local answers = {}
for at = 1, #ARGV, 10 do
  local delivery, campaign, most, source = ARGV[at], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local key = p .. ':g:' .. delivery
  local answer
  if redis.call('EXISTS', key) == 1 then
    answer = 'granted ' .. (redis.call('HGET', key, 'code') or '')
  elseif most ~= '' and tonumber(redis.call('HGET', p .. ':b', campaign) or 0) >= tonumber(most) then
    answer = 'budget'
  else
    local code, pool = '', ''
    if source == 'generated' then
      code = ARGV[at + 5]
      if redis.call('EXISTS', p .. ':c:' .. code) == 1 then answer = 'taken' end
    elseif source == 'pool' then
      pool = ARGV[at + 5]
      code = redis.call('LPOP', p .. ':l:' .. pool)
      if code then redis.call('HINCRBY', p .. ':t', pool, 1) else answer = 'empty' end
    end
    if not answer then
      redis.call('HSET', key, 'subject', ARGV[at + 1], 'campaign', campaign, 'code', code, 'pool', pool, 'state', 'reserved',
        'ends', ARGV[at + 8], 'terms', ARGV[at + 6])
      redis.call('PEXPIREAT', key, ARGV[at + 9])
      if code ~= '' then redis.call('SET', p .. ':c:' .. code, delivery, 'PXAT', ARGV[at + 9]) end
      local list = p .. ':u:' .. ARGV[at + 1]
      redis.call('ZREMRANGEBYSCORE', list, '-inf', ARGV[at + 7])
      redis.call('ZADD', list, ARGV[at + 8], delivery)
      redis.call('PEXPIREAT', list, ARGV[at + 9], 'GT')
      redis.call('PEXPIREAT', list, ARGV[at + 9], 'NX')
      redis.call('ZADD', p .. ':r', ARGV[at + 7], delivery)
      redis.call('HINCRBY', p .. ':b', campaign, 1)
      answer = 'granted ' .. code
    end
  end
  answers[#answers + 1] = answer
end
return answers
